//! Every certified optimum of data/truth_params.json, found again from nothing.

use crate::data;
use perennial_clv::{GammaGamma, Kind, Report, Status, fit};

fn kind(model: &str) -> Option<Kind> {
    let name = model.to_lowercase().replace("/nbd", "-nbd").replace("/cnbd", "-cnbd");
    name.parse().ok()
}

fn agrees(truth: &data::Truth, report: &Report, ln_likelihood: f64) {
    let what = format!("{} on {}", truth.model, truth.dataset);
    assert_eq!(report.status, Status::Optimum, "{what}");
    assert!(report.gradient_max <= 1e-4, "{what}: gradient {}", report.gradient_max);
    let off = ln_likelihood - truth.ln_likelihood;
    assert!(off.abs() <= 1e-5, "{what}: likelihood {ln_likelihood} is off by {off}");
    for ((name, value), (_, error)) in truth.params.iter().zip(&truth.standard_errors) {
        let got = report.estimates.iter().find(|it| it.name == *name).unwrap();
        assert!((got.value / value - 1.0).abs() <= 1e-5, "{what}: {name} is {} and not {value}", got.value);
        let got = got.standard_error.unwrap();
        assert!((got / error - 1.0).abs() <= 1e-4, "{what}: s.e. of {name} is {got} and not {error}");
    }
}

#[test]
fn every_certified_optimum_of_transactions_is_found() {
    let Some(truths) = data::truths() else { return };
    for truth in &truths {
        let (Some(kind), Some(rows)) = (kind(&truth.model), data::rows_of(&truth.dataset)) else { continue };
        let found = fit(kind, &rows).unwrap();
        // The NBD is certified as a likelihood of counts.
        let counts: f64 = match kind {
            Kind::Nbd => data::summaries(&data::orders("cdnow_sample.csv").unwrap(), "1997-09-30")
                .iter()
                .filter(|it| it.x() > 0)
                .map(|it| {
                    f64::from(it.x()) * it.age().ln() - (1..=it.x()).map(|n| f64::from(n).ln()).sum::<f64>()
                })
                .sum(),
            _ => 0.0,
        };
        agrees(truth, &found.report, found.report.ln_likelihood + counts);
    }
}

#[test]
fn every_certified_optimum_of_spend_is_found() {
    let Some(truths) = data::truths() else { return };
    for (dataset, file) in [("cdnow_sample_39w", "cdnow_sample.csv"), ("cdnow_full_39w", "cdnow_full.csv")] {
        let truth = truths.iter().find(|it| it.dataset == dataset && it.model == "Gamma-Gamma").unwrap();
        let Some(orders) = data::orders(file) else { return };
        let found = GammaGamma::fit(&data::spends(&orders, "1997-09-30")).unwrap();
        agrees(truth, &found.report, found.report.ln_likelihood);
        if dataset == "cdnow_sample_39w" {
            assert!((found.correlation - 0.1139).abs() < 5e-5, "{}", found.correlation);
        }
    }
}

/// The one check that needs nothing beside the repository.
#[test]
fn the_cdnow_sample_gives_the_published_models() {
    let Some(orders) = data::orders("cdnow_sample.csv") else { return };
    let found = fit(Kind::BgNbd, &perennial_clv::Rows::new(data::summaries(&orders, "1997-09-30"))).unwrap();
    assert!((found.report.ln_likelihood + 9582.429).abs() < 1e-3);
    let spend = GammaGamma::fit(&data::spends(&orders, "1997-09-30")).unwrap();
    let published =
        [("r", 0.24259), ("alpha", 4.4136), ("a", 0.79292), ("b", 2.4259)].map(|it| (&found.report, it));
    let of_spend = [("p", 6.2496), ("q", 3.7442), ("gamma", 15.4435)].map(|it| (&spend.report, it));
    for (report, (name, want)) in published.into_iter().chain(of_spend) {
        let got = report.value(name).unwrap();
        assert!((got / want - 1.0).abs() < 2e-4, "{name}: {got} is not {want}");
    }
}
