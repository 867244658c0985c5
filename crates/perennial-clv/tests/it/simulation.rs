//! Every formula against brute force: customers drawn from a model, split at a cutoff, and what they then did.

use perennial_clv::evaluate::randomised_pit;
use perennial_clv::simulate::Chance;
use perennial_clv::{GammaGamma, Given, Kind, Model, Rows, Status, Summary, fit};

const CUTOFF: f64 = 39.0;
const HORIZON: f64 = 39.0;
const CUSTOMERS: usize = 100_000;

fn models() -> Vec<Model> {
    let model = |kind: Kind, values: &[f64]| {
        Model::from_params(kind, kind.parameters().iter().copied().zip(values.iter().copied())).unwrap()
    };
    vec![
        model(Kind::BgNbd, &[0.25, 4.4, 0.8, 2.4]),
        model(Kind::MbgNbd, &[0.6, 6.2, 0.9, 1.6]),
        model(Kind::BgCnbd(3), &[0.5, 1.2, 0.8, 2.4]),
        model(Kind::MbgCnbd(2), &[1.3, 2.8, 0.42, 0.8]),
        model(Kind::ParetoNbd, &[0.55, 10.6, 0.6, 11.7]),
        model(Kind::Nbd, &[0.4, 12.0]),
    ]
}

/// Compares a sum of independent outcomes with its forecast, in standard errors.
fn agree(outcomes: impl Iterator<Item = (f64, f64)>, what: &str) {
    let (mut difference, mut squares, mut n) = (0.0, 0.0, 0.0);
    for (forecast, outcome) in outcomes {
        difference += outcome - forecast;
        squares += (outcome - forecast).powi(2);
        n += 1.0;
    }
    // One more, so that an event too rare to have been seen is no surprise.
    let error = f64::sqrt(squares + 1.0);
    assert!(
        difference.abs() < 4.0 * error,
        "{what}: {difference} over {n} customers is {} s.e.",
        difference / error
    );
}

#[test]
fn forecasts_agree_with_what_drawn_customers_do() {
    for (seed, model) in (1..).zip(models()) {
        let mut chance = Chance::new(seed);
        let mut groups: [Vec<(Summary, Vec<f64>)>; 3] = Default::default();
        for _ in 0..CUSTOMERS {
            let times = model.simulate(&mut chance, CUTOFF + HORIZON);
            let it = Summary::from_times(&times, CUTOFF).unwrap();
            let later = times.into_iter().filter(|it| *it > CUTOFF).map(|it| it - CUTOFF).collect();
            groups[(it.x() as usize).min(2)].push((it, later));
        }
        for (x, group) in groups.iter().enumerate() {
            let what = |name: &str| format!("{name} of {} with x = {x}", model.kind());
            // Few of each group are enough for what costs more.
            let few = || group.iter().take(20_000);
            agree(
                few().map(|(it, later)| (model.expected(it, HORIZON), later.len() as f64)),
                &what("orders"),
            );
            agree(
                few().map(|(it, later)| {
                    let sum = later.iter().map(|t| (-0.03 * t).exp()).sum();
                    (model.discounted(it, HORIZON, 0.03), sum)
                }),
                &what("discounted orders"),
            );
            agree(
                few().map(|(it, later)| {
                    let came = later.first().is_some_and(|t| *t <= 10.0);
                    (model.order_within(it, 10.0, Given::History), f64::from(u8::from(came)))
                }),
                &what("next order"),
            );
            for n in [1, 2, 5] {
                agree(
                    few().take(4000).map(|(it, later)| {
                        (model.counts(it, HORIZON).at_least(n), f64::from(u8::from(later.len() >= n)))
                    }),
                    &what("counts"),
                );
            }
        }
    }
}

#[test]
fn a_fit_recovers_the_model_that_was_drawn_from() {
    for (seed, model) in (11..).zip(models()) {
        let mut chance = Chance::new(seed);
        let ages = [26.0, 39.0, 52.0, 104.0];
        let customers: Vec<Summary> = (0..20_000)
            .map(|i| {
                let age = ages[i % 4];
                Summary::from_times(&model.simulate(&mut chance, age), age).unwrap()
            })
            .collect();
        let found = fit(model.kind(), &Rows::new(customers)).unwrap();
        assert_eq!(found.report.status, Status::Optimum);
        for (name, truth) in model.params() {
            let (got, error) =
                (found.report.value(name).unwrap(), found.report.standard_error(name).unwrap());
            assert!(
                (got - truth).abs() < 4.5 * error,
                "{} {name}: {got} ± {error} is not {truth}",
                model.kind()
            );
        }
    }
}

#[test]
fn drawn_spend_is_fitted_and_forecast() {
    let model = GammaGamma::new(6.2, 3.7, 15.4).unwrap();
    let mut chance = Chance::new(5);
    let (mut spends, mut outcomes) = (Vec::new(), Vec::new());
    for i in 0..30_000 {
        let orders = model.simulate(&mut chance, i % 6 + 2);
        let (last, seen) = orders.split_last().unwrap();
        let x = u32::try_from(seen.len()).unwrap();
        let it = perennial_clv::Spend { x, mean: seen.iter().sum::<f64>() / f64::from(x) };
        spends.push(it);
        outcomes.push((model.expected(&it), *last));
    }
    agree(outcomes.into_iter(), "the next order's value");
    let found = GammaGamma::fit(&spends).unwrap();
    for (name, truth) in [("p", 6.2), ("q", 3.7), ("gamma", 15.4)] {
        let (got, error) = (found.report.value(name).unwrap(), found.report.standard_error(name).unwrap());
        assert!((got - truth).abs() < 4.5 * error, "{name}: {got} ± {error} is not {truth}");
    }
}

/// 200 samples of 150 customers, each fitted by itself: do the ranges of what comes hold as often as they say?
#[test]
fn forecasts_from_a_few_customers_hold_the_uncertainty_of_their_parameters() {
    let params = [("r", 0.6), ("alpha", 8.0), ("a", 0.8), ("b", 2.0)];
    let truth = Model::from_params(Kind::MbgNbd, params).unwrap();
    let mut chance = Chance::new(31);
    let (mut plain, mut uncertain) = (Vec::new(), Vec::new());
    let (mut totals, mut totals_uncertain) = (0.0_f64, 0.0_f64);
    let samples = 200;
    for sample in 0..samples {
        let drawn: Vec<(Summary, usize)> = (0..150)
            .map(|_| {
                let age = 20.0 + 20.0 * chance.uniform();
                let times = truth.simulate(&mut chance, age + 39.0);
                let seen = Summary::from_times(&times, age).unwrap();
                (seen, times.len() - seen.x() as usize)
            })
            .collect();
        let found = fit(Kind::MbgNbd, &Rows::new(drawn.iter().map(|it| it.0))).unwrap();
        let spread = found.uncertain();
        let (mut mean, mut variance, mut corners, mut came) =
            (0.0, 0.0, vec![0.0; spread.members().len()], 0.0);
        for (i, (it, n)) in (0..).zip(&drawn) {
            let index: u64 = sample * 1000 + i;
            let counts = found.model.counts(it, 39.0);
            plain.push(randomised_pit(&counts, *n, 5, index));
            uncertain.push(randomised_pit(&spread.counts(it, 39.0), *n, 5, index));
            mean += counts.mean();
            variance += counts.variance();
            for (corner, (_, member)) in corners.iter_mut().zip(spread.members()) {
                *corner += member.expected(it, 39.0);
            }
            came += *n as f64;
        }
        let level = corners.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / corners.len() as f64;
        let inside = |variance: f64| f64::from(u8::from((came - mean).abs() <= 1.2816 * variance.sqrt()));
        totals += inside(variance) / f64::from(samples as u32);
        totals_uncertain += inside(variance + level) / f64::from(samples as u32);
    }
    let covered = |pit: &[f64], level: f64| {
        let inside = pit.iter().filter(|it| (*it - 0.5).abs() <= 0.5 * level).count();
        inside as f64 / pit.len() as f64
    };
    let of = |level: f64| (covered(&plain, level), covered(&uncertain, level));
    let all = [of(0.5), of(0.8), of(0.95)];
    // One customer's own chance is so much wider than that of the parameters that these hardly show; they decide what is
    // said of all customers together.
    for ((plain, uncertain), level) in all.into_iter().zip([0.5, 0.8, 0.95]) {
        assert!((uncertain - level).abs() < 0.02 && uncertain > plain - 1e-3, "{level}: {plain} {uncertain}");
    }
    assert!(all[2].1 > all[2].0, "{all:?}");
    assert!(totals < 0.6 && (0.7..0.9).contains(&totals_uncertain), "{totals} {totals_uncertain}");
}
