//! Tables of the literature and of other packages, recomputed.

use crate::data;
use perennial_clv::{Kind, Model, Summary, fit};

fn model(kind: Kind, values: &[f64]) -> Model {
    Model::from_params(kind, kind.parameters().iter().copied().zip(values.iter().copied())).unwrap()
}

fn cdnow_pareto() -> Model {
    model(Kind::ParetoNbd, &[0.5532770468, 10.57768346, 0.6062399891, 11.66873529])
}

fn near(got: f64, want: f64, within: f64) {
    assert!((got - want).abs() <= within, "{got} is not {want}");
}

#[test]
fn pareto_expectations_of_a_new_customer_match() {
    let table = [
        (1.0 / 7.0, 0.007445),
        (1.0, 0.051006),
        (3.0, 0.146134),
        (223.0 / 7.0, 1.052908),
        (32.0, 1.056268),
        (78.0, 1.909866),
    ];
    for (t, want) in table {
        near(cdnow_pareto().expected(&Summary::newborn(), t), want, 6e-7);
    }
    let manual = model(Kind::ParetoNbd, &[0.5534, 10.5802, 0.6061, 11.6562]);
    let table = [0.0, 0.0510045340, 0.0996208810, 0.1461242722, 0.1907418911, 0.2336637555, 0.2750506374];
    for (t, want) in table.into_iter().enumerate() {
        near(manual.expected(&Summary::newborn(), t as f64), want, 1e-10);
    }
}

#[test]
fn discounted_residual_transactions_match_the_closed_form() {
    // Figures made with Tricomi's U at the parameters of the BTYD manual, 0.0027 a week.
    let manual = model(Kind::ParetoNbd, &[0.5534, 10.5802, 0.6061, 11.6562]);
    let heavy = Summary::new(26, 30.86, 31.0).unwrap();
    near(manual.p_alive(&heavy), 0.997917766552, 1e-12);
    near(manual.expected(&heavy, 52.0), 25.4549135115, 1e-9);
    near(manual.discounted(&heavy, f64::INFINITY, 0.0027), 86.0303756154, 1e-8);
    let never = Summary::new(0, 0.0, 39.0).unwrap();
    near(manual.discounted(&never, f64::INFINITY, 0.0027), 0.474671504951, 1e-10);
}

#[test]
fn iso_value_curves_bend_backwards() {
    let ages = [20.0, 40.0, 60.0, 70.0, 77.0];
    let table = [
        (1, [0.91710, 1.90600, 2.67054, 2.95210, 3.11575]),
        (2, [0.84219, 2.69696, 4.30581, 4.83871, 5.12152]),
        (4, [0.32868, 3.12618, 7.32130, 8.57463, 9.13270]),
        (7, [0.03683, 1.93858, 10.98180, 14.06802, 15.14858]),
        (14, [0.00008, 0.15686, 13.57241, 26.16483, 29.18126]),
    ];
    for (x, row) in table {
        for (t_x, want) in ages.into_iter().zip(row) {
            let customer = Summary::new(x, t_x, 77.86).unwrap();
            near(cdnow_pareto().discounted(&customer, f64::INFINITY, 0.0027), want, 6e-6);
        }
    }
    let never = Summary::new(0, 0.0, 77.86).unwrap();
    near(cdnow_pareto().discounted(&never, f64::INFINITY, 0.0027), 0.18139, 6e-6);
}

#[test]
fn pareto_counts_match_the_published_distribution() {
    let manual = model(Kind::ParetoNbd, &[0.5534, 10.5802, 0.6061, 11.6562]);
    let counts = manual.counts(&Summary::newborn(), 30.0);
    let table = [0.00190763723, 0.00134457367, 0.000951793731, 0.000676195329];
    for (n, want) in table.into_iter().enumerate() {
        near(counts.exactly(n + 11) / want, 1.0, 5e-9);
    }
    for customer in
        [Summary::newborn(), Summary::new(7, 29.43, 38.86).unwrap(), Summary::new(400, 38.0, 38.86).unwrap()]
    {
        let counts = cdnow_pareto().counts(&customer, 39.0);
        near(counts.mean() / cdnow_pareto().expected(&customer, 39.0), 1.0, 1e-9);
    }
}

#[test]
fn regular_buyers_who_pause_are_given_up_sooner() {
    // Platzer and Reutterer's paradox customers: x = 1…5, t_x = 12, T = 52, on grocery data.
    let pareto = model(Kind::ParetoNbd, &[0.7864367934, 5.679040562, 0.3862391547, 5.717789116]);
    let regular = model(Kind::MbgCnbd(2), &[1.329175354, 2.812551208, 0.4247089904, 0.7900287342]);
    let alive = [0.318579, 0.165206, 0.072767, 0.028817, 0.010721];
    let expected = [0.448422, 0.362708, 0.217093, 0.108677, 0.048878];
    let alive_regular = [0.156425, 0.029211, 0.003861, 0.000440, 0.000046];
    for i in 0..5 {
        let customer = Summary::new(i as u32 + 1, 12.0, 52.0).unwrap();
        // That package's optimum agrees with ours to five digits.
        near(pareto.p_alive(&customer), alive[i], 1e-5);
        near(pareto.expected(&customer, 52.0), expected[i], 2e-5);
        near(regular.p_alive(&customer), alive_regular[i], 5e-6);
    }
    near(regular.p_alive(&Summary::new(0, 0.0, 52.0).unwrap()), 0.0750909, 5e-6);
}

#[test]
fn predictions_of_single_cdnow_customers_match() {
    // Customers 1, 10, 100 and 1000 of the full cohort's sample, CLVTools at its own optimum.
    let Some(orders) = data::orders("cdnow_sample.csv") else { return };
    let actual: u32 = orders
        .values()
        .map(|it| it.purchases_between(data::day("1997-09-30"), data::day("1998-06-30")))
        .sum();
    assert_eq!(actual, 1882);
    let summaries = data::summaries(&orders, "1997-09-30");
    assert_eq!(summaries.len(), 2357);
    assert_eq!(summaries.iter().map(Summary::x).sum::<u32>(), 2457);
    let rows = perennial_clv::Rows::new(summaries.iter().copied());
    assert_eq!(rows.len(), 1016);
    let totals = [(Kind::BgNbd, 1653.4087), (Kind::MbgNbd, 1576.7283), (Kind::ParetoNbd, 1665.5131)];
    for (kind, want) in totals {
        let model = fit(kind, &rows).unwrap().model;
        near(summaries.iter().map(|it| model.expected(it, 39.0)).sum(), want, 1e-4);
    }
}

#[test]
fn mean_forecasts_by_calibration_count_match() {
    let Some(orders) = data::orders("cdnow_sample.csv") else { return };
    let summaries = data::summaries(&orders, "1997-09-30");
    let tables = [
        (
            model(Kind::BgNbd, &[0.2425945224, 4.413602019, 0.7929220169, 2.425906776]),
            [0.2251, 0.5231, 1.0441, 1.5203, 2.1639, 2.6538, 3.5040, 6.1572],
        ),
        (cdnow_pareto(), [0.1384, 0.5995, 1.1958, 1.7138, 2.3983, 2.9072, 3.8186, 6.4031]),
    ];
    for (model, want) in tables {
        for (count, want) in want.into_iter().enumerate() {
            let group: Vec<f64> = summaries
                .iter()
                .filter(|it| (it.x() as usize).min(7) == count)
                .map(|it| model.expected(it, 39.0))
                .collect();
            near(group.iter().sum::<f64>() / group.len() as f64, want, 6e-5);
        }
    }
}

#[test]
fn grocery_forecasts_of_exact_regular_models_match_simulation() {
    let Some(orders) = data::orders("grocery_elog.csv") else { return };
    let summaries = data::summaries(&orders, "2006-12-31");
    let actual: Vec<f64> = orders
        .values()
        .filter(|it| it.first_day() <= Some(data::day("2006-12-31")))
        .map(|it| f64::from(it.purchases_between(data::day("2006-12-31"), data::day("2007-12-30"))))
        .collect();
    let regular = model(Kind::MbgCnbd(2), &[1.329175354, 2.812551208, 0.4247089904, 0.7900287342]);
    let error: f64 =
        summaries.iter().zip(&actual).map(|(it, n)| (regular.expected(it, 52.0) - n).abs()).sum();
    // 1.401 by simulation of 400 histories a customer.
    near(error / actual.len() as f64, 1.401, 2e-3);
}
