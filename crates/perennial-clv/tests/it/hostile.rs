//! Data on which other packages fail silently: an optimum, an honest boundary, or a refusal that says what to do.

use perennial_clv::simulate::Chance;
use perennial_clv::{FitError, GammaGamma, Given, Kind, Model, Rows, Spend, Status, Summary, fit};

const KINDS: [Kind; 6] =
    [Kind::BgNbd, Kind::MbgNbd, Kind::BgCnbd(2), Kind::MbgCnbd(2), Kind::ParetoNbd, Kind::Nbd];

fn drawn(kind: Kind, values: &[f64], n: usize, age: f64) -> Vec<Summary> {
    let model =
        Model::from_params(kind, kind.parameters().iter().copied().zip(values.iter().copied())).unwrap();
    let mut chance = Chance::new(99);
    (0..n).map(|_| Summary::from_times(&model.simulate(&mut chance, age), age).unwrap()).collect()
}

#[test]
fn one_time_buyers_alone_are_refused_with_advice() {
    let customers = vec![Summary::new(0, 0.0, 30.0).unwrap(); 50];
    for kind in KINDS {
        let error = fit(kind, &Rows::new(customers.iter().copied())).unwrap_err();
        assert_eq!(error, FitError::NoRepeat);
        assert!(error.to_string().contains("extend the window or wait"));
    }
    assert_eq!(fit(Kind::BgNbd, &Rows::new([])).unwrap_err(), FitError::TooFew { have: 0, need: 2 });
    let error = fit(Kind::BgCnbd(0), &Rows::new(customers)).unwrap_err().to_string();
    assert!(error.contains("k: must lie between 1 and 12"), "{error}");
    let newborn = vec![Summary::newborn(); 3];
    assert_eq!(fit(Kind::BgNbd, &Rows::new(newborn)).unwrap_err(), FitError::NoTime);
}

#[test]
fn one_bot_among_two_thousand_does_not_stop_a_fit() {
    let mut customers = drawn(Kind::MbgNbd, &[0.52, 6.2, 0.9, 1.6], 2000, 52.0);
    customers.push(Summary::new(20_000, 51.9, 52.0).unwrap());
    for kind in KINDS {
        let found = fit(kind, &Rows::new(customers.iter().copied())).unwrap();
        assert!(found.report.is_sound(), "{kind}: {:?}", found.report);
        assert!(found.model.params().iter().all(|(_, it)| it.is_finite() && *it > 0.0));
        // A score is a function of one customer and the parameters: the bot's own is a number too.
        let expected = found.model.expected(&customers[2000].at_last_purchase(), 52.0);
        assert!(expected > 3000.0, "{kind}: {expected}");
    }
}

#[test]
fn the_unit_of_time_does_not_matter() {
    let customers = drawn(Kind::ParetoNbd, &[0.55, 10.6, 0.6, 11.7], 3000, 52.0);
    let seconds = 604_800.0;
    let rescaled =
        || customers.iter().map(|it| Summary::new(it.x(), it.t_x() * seconds, it.age() * seconds).unwrap());
    for kind in [Kind::BgNbd, Kind::ParetoNbd, Kind::MbgCnbd(2)] {
        let weeks = fit(kind, &Rows::new(customers.iter().copied())).unwrap();
        let other = fit(kind, &Rows::new(rescaled())).unwrap();
        for (it, scaled) in customers.iter().zip(rescaled()).take(50) {
            let (one, two) = (weeks.model.expected(it, 26.0), other.model.expected(&scaled, 26.0 * seconds));
            assert!((one / two - 1.0).abs() < 1e-6, "{kind}: {one} {two}");
        }
    }
}

#[test]
fn customers_who_never_drop_out_end_at_the_nbd() {
    let customers = drawn(Kind::Nbd, &[1.5, 6.0], 4000, 52.0);
    let plain = fit(Kind::Nbd, &Rows::new(customers.iter().copied())).unwrap();
    for kind in [Kind::BgNbd, Kind::MbgNbd, Kind::ParetoNbd] {
        let found = fit(kind, &Rows::new(customers.iter().copied())).unwrap();
        assert!(found.report.is_sound(), "{kind}: {:?}", found.report);
        // Chance may leave a trace of dropping out; if not, the limit serves and says so.
        if let Status::Boundary { meaning, .. } = &found.report.status {
            assert!(
                found.model.kind() != Kind::Nbd || meaning.contains("nbd, which serves instead"),
                "{meaning}"
            );
        }
        assert!(found.report.ln_likelihood >= plain.report.ln_likelihood - 1e-6, "{kind}");
    }
}

#[test]
fn customers_who_do_not_differ_are_a_boundary_and_not_an_error() {
    // One rate and one dropout probability for all: r and α, a and b have no upper limit.
    let customers = drawn(Kind::BgNbd, &[1e6, 4e6, 2e5, 8e5], 5000, 52.0);
    for kind in [Kind::BgNbd, Kind::MbgNbd, Kind::ParetoNbd] {
        let found = fit(kind, &Rows::new(customers.iter().copied())).unwrap();
        assert!(found.report.is_sound(), "{kind}: {:?}", found.report);
        let expected = found.model.expected(&Summary::newborn(), 52.0);
        assert!(expected.is_finite() && expected > 0.0);
        for it in &found.report.estimates {
            let extreme = found.report.covariance.is_empty();
            assert!(it.standard_error.is_none_or(|it| it.is_finite()) || extreme, "{:?}", found.report);
        }
    }
}

#[test]
fn a_dozen_customers_and_fast_churn_are_fitted_soundly() {
    let few = drawn(Kind::MbgNbd, &[0.8, 4.0, 0.9, 1.6], 12, 30.0);
    let churn = drawn(Kind::MbgNbd, &[2.0, 0.5, 8.0, 2.0], 3000, 52.0);
    for customers in [few, churn] {
        for kind in KINDS {
            match fit(kind, &Rows::new(customers.iter().copied())) {
                Ok(found) => assert!(found.report.is_sound(), "{kind}: {:?}", found.report),
                Err(error) => assert_eq!(error, FitError::NoRepeat),
            }
        }
    }
}

#[test]
fn spend_that_cannot_be_used_is_left_out_and_counted() {
    let spends: Vec<Spend> = (0..100_u32)
        .map(|i| Spend { x: i % 4, mean: if i % 10 == 3 { -5.0 } else { 20.0 + f64::from(i * 37 % 61) } })
        .collect();
    let found = GammaGamma::fit(&spends).unwrap();
    assert!(found.left_out > 0 && found.report.is_sound());
    let odd = Spend { x: 3, mean: f64::NAN };
    assert_eq!(found.model.expected(&odd), found.model.expected(&Spend::UNKNOWN));
    assert!(matches!(GammaGamma::fit(&[Spend::UNKNOWN]), Err(FitError::TooFew { .. })));
    // One value for all: p has no upper limit.
    let same = vec![Spend { x: 2, mean: 30.0 }; 50];
    let found = GammaGamma::fit(&same).unwrap();
    assert!((found.model.expected(&Spend { x: 2, mean: 30.0 }) - 30.0).abs() < 0.1, "{found:?}");
}

#[test]
fn an_order_that_is_due_after_a_billion_scales_is_as_likely_as_its_quantile_says() {
    let orders = [("r", 0.0142), ("alpha", 6.4e-6)];
    let dropout = [("a", 1.0), ("b", 1.0)];
    let models = [
        Model::from_params(Kind::BgNbd, orders.into_iter().chain(dropout)).unwrap(),
        Model::from_params(Kind::BgCnbd(2), orders.into_iter().chain(dropout)).unwrap(),
        Model::from_params(Kind::Nbd, orders).unwrap(),
    ];
    let it = Summary::new(0, 0.0, 0.0011).unwrap();
    for model in models {
        let quantile = model.next_order_quantile(&it, 0.3, Given::Alive).unwrap();
        let within = model.order_within(&it, quantile, Given::Alive);
        assert!((within - 0.3).abs() < 1e-9, "{within} at {quantile}");
        assert_eq!(model.order_within(&it, f64::NAN, Given::Alive), 0.0);
        assert!(model.order_within(&it, f64::INFINITY, Given::Alive) > 0.99);
    }
}

#[test]
fn an_order_is_expected_as_far_ahead_as_one_is_likely() {
    let families = [
        (Kind::BgNbd, [0.004_856_332, 2.601e-5, 0.409_883, 1.066e-6], 8.507e-6, 422_312.0),
        (Kind::BgCnbd(2), [1.202_307e-6, 7.584_852e-7, 1_557_751.1, 0.019_146], 6.842_522e-6, 25_724.0),
    ];
    for (kind, values, age, horizon) in families {
        let model = Model::from_params(kind, kind.parameters().iter().copied().zip(values)).unwrap();
        let it = Summary::new(0, 0.0, age).unwrap();
        let (within, expected) =
            (model.order_within(&it, horizon, Given::History), model.expected(&it, horizon));
        assert!(within <= expected * (1.0 + 1e-6), "{kind}: {within} {expected}");
    }
}
