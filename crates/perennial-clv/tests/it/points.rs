//! Per-customer truths from 60-digit arithmetic, at ordinary and hostile points, and published tables.

use crate::data;
use perennial_clv::{Given, Kind, Model, Summary};

fn kind(name: &str) -> Option<Kind> {
    match name {
        "bgnbd" => Some(Kind::BgNbd),
        "mbgnbd" => Some(Kind::MbgNbd),
        "pnbd" => "pareto-nbd".parse().ok(),
        other => panic!("unknown model {other}"),
    }
}

/// Relative agreement; a truth too small for the floating range must come as (almost) zero.
fn close(got: f64, want: f64, relative: f64, what: &str) {
    let tiny = want.abs() < 1e-300 && got.abs() < 1e-290;
    assert!(tiny || (got - want).abs() <= relative * want.abs(), "{what}: {got} is not {want}");
}

#[test]
fn every_certified_point_is_reproduced() {
    let Some(text) = data::read("truth_points.csv") else { return };
    let mut seen = 0;
    for line in text.lines().skip(1) {
        // The name of a point may be quoted and hold commas; all else is plain.
        let (head, tail) = match line.split_once('"') {
            Some((head, rest)) => (head, rest.split_once('"').unwrap().1),
            None => {
                let (head, rest) = line.match_indices(',').nth(1).map(|(i, _)| line.split_at(i + 1)).unwrap();
                (head, &rest[rest.find(',').unwrap()..])
            }
        };
        let mut head = head.split(',');
        let (model, params) = (head.next().unwrap(), head.next().unwrap());
        let Some(kind) = kind(model) else { continue };
        let params = params.split(' ').map(|it| it.parse().unwrap());
        let model = Model::from_params(kind, kind.parameters().iter().copied().zip(params)).unwrap();
        let n: Vec<f64> = tail.trim_start_matches(',').split(',').map(|it| it.parse().unwrap()).collect();
        let customer = Summary::new(n[0] as u32, n[1], n[2]).unwrap();
        let relative = if n[5] < 1e-100 { 1e-10 } else { 1e-12 };
        if n[4].abs() > 1e-50 {
            close(model.ln_likelihood(&customer), n[4], 1e-12, line);
        }
        close(model.p_alive(&customer), n[5], relative, line);
        close(model.expected(&customer, n[3]), n[6], relative, line);
        seen += 1;
    }
    assert_eq!(seen, 32);
}

fn cdnow_bg() -> Model {
    let params = [("r", 0.2425945224), ("alpha", 4.413602019), ("a", 0.7929220169), ("b", 2.425906776)];
    Model::from_params(Kind::BgNbd, params).unwrap()
}

#[test]
fn expectations_of_a_new_customer_match_the_published_table() {
    let model = cdnow_bg();
    let table = [
        (1.0 / 7.0, 0.007814),
        (1.0, 0.053184),
        (3.0, 0.150631),
        (223.0 / 7.0, 1.040490),
        (32.0, 1.043732),
        (78.0, 1.857958),
    ];
    for (t, want) in table {
        assert!((model.expected(&Summary::newborn(), t) - want).abs() < 6e-7);
    }
}

#[test]
fn the_count_distribution_matches_the_published_one() {
    let params = [("r", 0.243), ("alpha", 4.414), ("a", 0.793), ("b", 2.426)];
    let model = Model::from_params(Kind::BgNbd, params).unwrap();
    let counts = model.counts(&Summary::newborn(), 30.0);
    let table = [
        0.00199952144748,
        0.00151702362996,
        0.00116331500666,
        0.000900314789644,
        0.000702363765887,
        0.000551790242649,
        0.000436191280898,
        0.000346717139624,
        0.00027696126484,
        0.000222226048007,
    ];
    for (n, want) in table.into_iter().enumerate() {
        close(counts.exactly(n + 11), want, 1e-11, "P(X = n)");
    }
    close(model.counts(&Summary::newborn(), 2.0).exactly(10), 1.07868964036e-7, 1e-11, "P(10 in 2)");
    close(model.counts(&Summary::newborn(), 39.0).exactly(0), 0.573786352096, 1e-11, "P(0 in 39)");
    close(counts.mean(), model.expected(&Summary::newborn(), 30.0), 1e-11, "mean");
}

#[test]
fn next_order_times_match_simulation_checked_ones() {
    let model = cdnow_bg();
    let table = [
        (2, 30.43, 38.86, [Some(2.953539), Some(8.952391), Some(29.481759)], 0.44539263),
        (7, 29.43, 38.86, [Some(1.023959), Some(3.051572), Some(10.03064)], 0.36432057),
        (26, 30.86, 31.0, [Some(0.147305), Some(0.405024), Some(0.993048)], 0.03108148),
        (1, 1.71, 38.86, [Some(28.986351), None, None], 0.88328498),
        (0, 0.0, 38.86, [Some(23.536204), Some(98.381948), Some(710.255782)], 0.85567145),
    ];
    for (x, t_x, age, quantiles, nothing) in table {
        let customer = Summary::new(x, t_x, age).unwrap();
        for (q, want) in [0.1, 0.25, 0.5].into_iter().zip(quantiles) {
            match (model.next_order_quantile(&customer, q, Given::History), want) {
                (Some(got), Some(want)) => {
                    assert!((got - want).abs() < 6e-7_f64.max(1e-7 * want), "{x} {q}: {got} {want}")
                }
                (got, want) => assert_eq!(got, want, "{x} {q}"),
            }
        }
        let none = 1.0 - model.order_within(&customer, 39.0, Given::History);
        assert!((none - nothing).abs() < 1e-8);
        assert!((model.counts(&customer, 39.0).exactly(0) - nothing).abs() < 1e-8);
    }
}

#[test]
fn the_lapse_instant_is_where_p_alive_crosses_the_threshold() {
    let model = cdnow_bg();
    for (x, t_x) in [(1, 3.0), (5, 30.0), (40, 38.0)] {
        let customer = Summary::new(x, t_x, t_x).unwrap();
        let silence = model.lapse_after(&customer, 0.2).unwrap();
        let then = customer.at_age(t_x + silence).unwrap();
        assert!((model.p_alive(&then) - 0.2).abs() < 1e-12);
    }
    assert_eq!(model.lapse_after(&Summary::newborn(), 0.2), None);
}
