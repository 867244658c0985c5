//! The CDNOW sample against its certified optimum (39 weeks of calibration; Fader, Hardie and Lee 2005).

use std::path::Path;

use perennial_api::scoring::v1::{ModelState, Parameter};
use perennial_scoring::Config;
use perennial_types::{Timestamp, from_micros, micros};

use crate::shop::{Shop, at, databases, placed, profile};

fn close(found: &[Parameter], expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let it = found.iter().find(|it| it.name == *name).unwrap();
        assert!((it.value / value - 1.0).abs() < 2e-5, "{name} is {}, not {value}", it.value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_optimum_is_found_through_the_service() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cdnow_sample.csv");
    let Ok(mut reader) = csv::Reader::from_path(&file) else {
        eprintln!("skipped: {} is not there", file.display());
        return;
    };
    let mut facts = Vec::new();
    for (n, row) in reader.records().enumerate() {
        let row = row.unwrap();
        let cents = (row[2].parse::<f64>().unwrap() * 100.0).round() as i64;
        let time: Timestamp = format!("{}T00:00:00Z", &row[1]).parse().unwrap();
        let id: u32 = row[0].parse().unwrap();
        facts.push((profile(id), time, placed(format!("row-{n}"), cents)));
    }
    for database in databases("cdnow") {
        let config = Config { fit_interval_days: 0, ..Config::default() };
        let mut shop = Shop::open(database, at("1998-07-01T00:00:00Z"), config).await;
        shop.receive(facts.clone()).await;
        let model = shop.fit("bg-nbd", "1997-09-30", false).await.unwrap();
        assert_eq!((model.customer_count, model.distinct_history_count), (2_357, 1_016));
        assert_eq!((model.fit_status.as_str(), model.spend_customer_count), ("optimum", 946));
        let bg = [("r", 0.242_594_522), ("alpha", 4.413_602_019), ("a", 0.792_922_017), ("b", 2.425_906_776)];
        close(&model.parameters, &bg);
        assert!((model.log_likelihood + 9_582.429_207).abs() < 1e-5, "{}", model.log_likelihood);
        let gg = [("p", 6.249_572_273), ("q", 3.744_224_667), ("gamma", 15.443_520_96)];
        close(&model.spend_parameters, &gg);
        assert!((model.spend_log_likelihood + 4_055.917_694_8).abs() < 1e-4);
        let r = &model.parameters[0];
        assert!((r.standard_error.unwrap() - 0.012_557).abs() < 1e-5);

        // Which of the three serves is for the hold-out to say; something does.
        let published = shop.fit("auto", "", true).await.unwrap();
        assert_eq!(published.state(), ModelState::Published, "{}", published.reason);
        let far = from_micros(micros(at("1998-06-30T00:00:00Z")));
        let score = shop.score(profile(4)).await.unwrap();
        assert!(score.last_order_time.unwrap().seconds <= far.as_second());
        assert_eq!(score.orders, 4);
        shop.close().await;
    }
}
