//! Values and their intervals.

use perennial_clv::{GammaGamma, Kind, Model, Spend, Summary, Valuation, continuous_rate};

fn valuation(rate: f64) -> Valuation {
    let params = [("r", 0.2426), ("alpha", 4.4136), ("a", 0.7929), ("b", 2.4259)];
    let orders = Model::from_params(Kind::BgNbd, params).unwrap();
    let spend = GammaGamma::new(6.249572273, 3.744224667, 15.44352096).unwrap();
    Valuation::new(orders, spend, 52.0, rate).unwrap()
}

#[test]
fn expected_spend_matches_the_published_table() {
    // The table was made at the optimum that the R packages report.
    let spend = GammaGamma::new(6.249349, 3.744256, 15.444307).unwrap();
    let table = [
        (Spend::UNKNOWN, 35.170503),
        (Spend { x: 1, mean: 20.0 }, 24.629039),
        (Spend { x: 2, mean: 40.0 }, 39.130524),
        (Spend { x: 7, mean: 73.74 }, 71.463268),
        (Spend { x: 26, mean: 35.0 }, 35.002832),
        (Spend { x: 1, mean: 500.0 }, 358.164647),
    ];
    for (spent, want) in table {
        assert!((spend.expected(&spent) / want - 1.0).abs() < 5e-8, "{} {want}", spend.expected(&spent));
    }
}

#[test]
fn a_mean_that_does_not_exist_is_answered_by_the_median() {
    let heavy = GammaGamma::new(2.0, 0.9, 10.0).unwrap();
    assert!(!heavy.has_population_mean());
    // P(Gamma(0.9) ≤ 0.598…) = 1/2.
    let got = heavy.expected(&Spend::UNKNOWN);
    assert!((got - 33.7).abs() < 0.5, "{got}");
    assert!(heavy.expected(&Spend { x: 3, mean: 12.0 }) > 0.0);
}

#[test]
fn the_fast_interval_agrees_with_the_exact_mixture() {
    let it = valuation(0.0);
    for (x, t_x, age) in
        [(0, 0.0, 2.0), (2, 30.43, 38.86), (7, 29.43, 38.86), (26, 30.86, 31.0), (300, 38.0, 39.0)]
    {
        let customer = Summary::new(x, t_x, age).unwrap();
        for spent in [Spend::UNKNOWN, Spend { x: 3, mean: 80.0 }] {
            let value = it.value(&customer, &spent, 1.0);
            for interval in &value.intervals {
                for (q, got) in
                    [(0.5 - interval.level / 2.0, interval.low), (0.5 + interval.level / 2.0, interval.high)]
                {
                    let want = it.exact_quantile(&customer, &spent, q);
                    assert!((got - want).abs() <= 0.02 * want, "x {x} q {q}: {got} is not {want}");
                }
            }
        }
    }
}

#[test]
fn many_customers_are_valued_as_one_is() {
    let it = valuation(0.002);
    let customers: Vec<(Summary, Spend, f64)> = (0..20_000_u32)
        .map(|i| {
            let x = i * 7 % 5;
            let t_x = if x == 0 { 0.0 } else { f64::from(i % 30) };
            (Summary::new(x, t_x, 31.0).unwrap(), Spend { x, mean: 20.0 + f64::from(i % 90) }, 0.3)
        })
        .collect();
    let values = it.value_all(&customers);
    assert_eq!(values.len(), customers.len());
    for (i, (customer, spent, margin)) in customers.iter().enumerate().step_by(97) {
        assert_eq!(values[i], it.value(customer, spent, *margin));
    }
}

#[test]
fn profit_is_discounted_orders_times_spend_times_margin() {
    let it = valuation(continuous_rate(0.10, 365.25 / 7.0));
    let customer = Summary::new(7, 29.43, 38.86).unwrap();
    let value = it.value(&customer, &Spend { x: 7, mean: 73.74 }, 0.4);
    assert!(value.discounted_orders < value.orders && value.discounted_orders > 0.9 * value.orders);
    assert!((value.profit / (value.discounted_orders * value.spend * 0.4) - 1.0).abs() < 1e-12);
    let intervals = &value.intervals;
    assert!(intervals[2].low <= intervals[1].low && intervals[1].high <= intervals[2].high);
    let loss = it.value(&customer, &Spend { x: 7, mean: 73.74 }, -0.4);
    assert!((loss.intervals[1].low + intervals[1].high).abs() < 1e-9);
}

#[test]
fn a_model_survives_json_and_refuses_nonsense() {
    let it = valuation(0.0);
    let text = serde_json::to_string(&it.orders).unwrap();
    assert_eq!(text, r#"{"kind":"bg-nbd","params":{"a":0.7929,"alpha":4.4136,"b":2.4259,"r":0.2426}}"#);
    assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), it.orders);
    let wrong = text.replace("0.7929", "-1");
    let error = serde_json::from_str::<Model>(&wrong).unwrap_err().to_string();
    assert!(error.contains("a: must be positive and finite (got -1)"), "{error}");
    assert!(serde_json::from_str::<Model>(r#"{"kind":"bg-nbd","params":{"r":1}}"#).is_err());
    assert!(serde_json::from_str::<Summary>(r#"{"x":1,"t_x":9.0,"age":3.0}"#).is_err());
}
