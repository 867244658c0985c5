//! Models that forecast together.

use perennial_clv::simulate::Chance;
use perennial_clv::{Given, Kind, Model, Stack, Summary};

fn model(kind: Kind, values: &[f64]) -> Model {
    Model::from_params(kind, kind.parameters().iter().copied().zip(values.iter().copied())).unwrap()
}

fn members() -> Vec<(f64, Model)> {
    vec![
        (0.2, model(Kind::ParetoNbd, &[0.5533, 10.5777, 0.6062, 11.6687])),
        (0.3, model(Kind::MbgNbd, &[0.5248, 6.1831, 0.8914, 1.614])),
        (0.3, model(Kind::BgNbd, &[0.2426, 4.4136, 0.7929, 2.4259])),
        (0.2, model(Kind::Nbd, &[0.385, 12.07])),
    ]
}

fn stack() -> Model {
    Model::Stack(Stack::new(&members()).unwrap())
}

fn customers() -> Vec<Summary> {
    [(0, 0.0, 38.86), (1, 1.71, 38.86), (2, 30.43, 38.86), (7, 29.43, 38.86), (26, 30.86, 31.0)]
        .map(|(x, t_x, age)| Summary::new(x, t_x, age).unwrap())
        .into()
}

#[test]
fn a_stack_says_the_weighted_mean_of_what_its_members_say() {
    let stack = stack();
    for it in customers() {
        let mean = |f: &dyn Fn(&Model) -> f64| {
            members().iter().map(|(weight, model)| weight * f(model)).sum::<f64>()
        };
        let close =
            |got: f64, want: f64| assert!((got - want).abs() <= 1e-12 * want.abs().max(1e-9), "{got} {want}");
        close(stack.expected(&it, 39.0), mean(&|model| model.expected(&it, 39.0)));
        close(
            stack.discounted(&it, f64::INFINITY, 0.002),
            mean(&|model| model.discounted(&it, f64::INFINITY, 0.002)),
        );
        let counts = stack.counts(&it, 39.0);
        close(counts.exactly(2), mean(&|model| model.counts(&it, 39.0).exactly(2)));
        assert!((counts.mean() / stack.expected(&it, 39.0) - 1.0).abs() < 1e-9);
        let within = stack.order_within(&it, 39.0, Given::History);
        assert!((within - (1.0 - counts.exactly(0))).abs() < 1e-9);
        assert_eq!(stack.expected_at(&it, &[0.0, 39.0])[1], stack.expected(&it, 39.0));
    }
}

#[test]
fn quantiles_and_lapse_are_where_the_mixture_crosses() {
    let stack = stack();
    for it in customers() {
        let last = it.at_last_purchase();
        let within = |t: f64| stack.order_within(&last, t, Given::Alive);
        let quantile = stack.next_order_quantile(&last, 0.6, Given::Alive).unwrap();
        assert!((within(quantile) - 0.6).abs() < 1e-9, "{it:?}");
        let silence = stack.lapse_after(&it, 0.3).unwrap();
        let alive = stack.p_alive(&last.at_age(it.t_x() + silence).unwrap());
        assert!((alive - 0.3).abs() < 1e-9, "{it:?}: {alive}");
        assert!((stack.ln_p_alive(&it) - stack.p_alive(&it).ln()).abs() < 1e-12);
    }
    // Who never repeats is judged by those members that can tell, not by those for whom everybody lives.
    let silent = Summary::new(0, 0.0, 500.0).unwrap();
    assert!(stack.p_alive(&silent) < 0.2, "{}", stack.p_alive(&silent));
    let never = stack.next_order_quantile(&silent, 0.999, Given::History);
    assert_eq!(never, None);
    let immortal = Model::Stack(Stack::new(&[(1.0, model(Kind::Nbd, &[0.4, 12.0]))]).unwrap());
    assert_eq!((immortal.p_alive(&silent), immortal.lapse_after(&silent, 0.2)), (1.0, None));
}

#[test]
fn members_that_lapse_at_instants_far_apart_are_told_apart() {
    let quick = model(Kind::BgNbd, &[2_668_314.265, 1.0, 1.0, 1.0]);
    let slow = model(Kind::BgNbd, &[1.0, 269_834.18, 1.0, 1.0]);
    let stack = Model::Stack(Stack::new(&[(0.98, quick), (0.02, slow)]).unwrap());
    let it = Summary::new(1, 0.0, 1.0).unwrap();
    let silence = stack.lapse_after(&it, 0.2).unwrap();
    let alive = stack.p_alive(&it.at_age(silence).unwrap());
    assert!((alive - 0.2).abs() < 1e-9, "{alive} after {silence}");
}

#[test]
fn a_crossing_that_rounding_hides_at_an_end_is_found_there() {
    // Next to nobody who is alive follows the slow member, so the mixture crosses where the quick one does, to the last digit.
    let cases = [
        (model(Kind::Nbd, &[8957.655097466708, 1.0]), 25, 2.6232977480225386),
        (model(Kind::BgNbd, &[42.33214388445569, 5.178581530825718e-6, 1.0, 1.0]), 1, 1e-5),
    ];
    for (quick, x, age) in cases {
        let slow = model(Kind::BgNbd, &[1.0, 1.0, 785_270.5, 1.0]);
        let it = Summary::new(x, 0.0, age).unwrap();
        for members in [[(0.5, quick), (0.5, slow)], [(0.5, slow), (0.5, quick)]] {
            let stack = Model::Stack(Stack::new(&members).unwrap());
            let quantile = stack.next_order_quantile(&it, 0.3, Given::Alive).unwrap();
            let within = stack.order_within(&it, quantile, Given::Alive);
            assert!((within - 0.3).abs() < 1e-9, "{within} at {quantile}");
        }
    }
}

#[test]
fn a_stack_survives_json_and_refuses_nonsense() {
    let stack = stack();
    let text = serde_json::to_string(&stack).unwrap();
    assert!(text.starts_with(r#"{"kind":"stack","params":{},"members":[{"weight":0.2,"#), "{text}");
    assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), stack);
    assert_eq!(stack.members().len(), 4);
    assert_eq!(stack.member(Kind::Nbd).unwrap().kind(), Kind::Nbd);
    assert!(Stack::new(&[]).is_err());
    assert!(Stack::new(&[(-1.0, members()[0].1), (2.0, members()[1].1)]).is_err());
    assert!(Stack::new(&[(f64::NAN, members()[0].1)]).is_err());
    assert!(Stack::new(&[(0.5, stack), (0.5, members()[0].1)]).is_err());
    assert!(Stack::new(&vec![(1.0, members()[0].1); 7]).is_err());
    let error = perennial_clv::fit(Kind::Stack, &perennial_clv::Rows::new(customers())).unwrap_err();
    assert!(error.to_string().contains("is made of fitted models"), "{error}");
}

#[test]
fn customers_drawn_from_a_stack_are_drawn_from_its_members() {
    let stack = stack();
    let mut chance = Chance::new(11);
    let n = 60_000;
    let drawn: usize = (0..n).map(|_| stack.simulate(&mut chance, 39.0).len()).sum();
    let mean = drawn as f64 / f64::from(n);
    let want = stack.expected(&Summary::newborn(), 39.0);
    assert!((mean / want - 1.0).abs() < 0.04, "{mean} {want}");
}
