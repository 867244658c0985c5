//! Customer value on a folder: backtests, forecasts by given parameters, what a score is made of, exports.

use std::path::Path;

use parquet::file::reader::FileReader;
use parquet::record::RowAccessor;

use crate::{Ran, perennial};

/// Weekly and monthly buyers, some of whom leave, over sixty weeks: the same on every run.
fn orders(folder: &Path) -> String {
    let mut text = "customer,date,amount\n".to_owned();
    let mut state = 7_u64;
    let mut draw = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % n
    };
    let start: jiff::civil::Date = "2024-01-01".parse().unwrap();
    for c in 0..260 {
        let (mut day, gap, lives) = (draw(120), 5 + draw(40), draw(1_500));
        let (first, price) = (day, 10 + draw(50));
        while day < 420 && day <= first + lives {
            let date = start.checked_add(jiff::Span::new().days(i64::try_from(day).unwrap())).unwrap();
            text.push_str(&format!("c{c:03},{date},{}.{:02}\n", price + draw(9), draw(100)));
            day += 1 + draw(2 * gap);
        }
    }
    let file = folder.join("orders.csv");
    std::fs::write(&file, text).unwrap();
    file.to_string_lossy().into_owned()
}

#[test]
fn a_model_is_tested_on_the_past_fitted_compared_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = orders(folder.path());
    let data = folder.path().join("data");
    assert_eq!(perennial(&data, &["import", "orders", &file, "--currency", "EUR"]).code, 0);

    let report = folder.path().join("report");
    let report_text = report.to_string_lossy().into_owned();
    let test = ["score", "backtest", "--cutoff", "2024-10-31", "--horizon", "12w", "-o", "json"];
    let with_report: Vec<&str> = test.into_iter().chain(["--report", &report_text]).collect();
    let found = perennial(&data, &with_report).json();
    let models = found["models"].as_array().unwrap();
    assert_eq!(found["selected"], models[0]["name"]);
    for name in
        ["pareto-nbd", "bg-nbd", "mbg-nbd", "stack", "repeat-last-window", "lifetime-rate", "rfm-cell-mean"]
    {
        let it =
            models.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name} in {models:?}"));
        for measure in
            ["mae", "rmse", "bias_percent", "spearman", "gini", "auc", "decile_error_percent", "deviance"]
        {
            assert!(it[measure].is_number(), "{name} has no {measure}: {it}");
        }
    }
    assert!(models[0]["median_mae"].is_number() && models[0]["coverage_80"].as_f64().unwrap() > 0.7);
    for picture in ["calibration.svg", "cumulative.svg", "alive.svg", "iso_value.svg"] {
        let svg = std::fs::read_to_string(report.join(picture)).unwrap();
        assert!(svg.starts_with("<svg"), "{picture}");
    }
    assert!(
        std::fs::read_to_string(report.join("report.md"))
            .unwrap()
            .contains("![Curves of equal value](iso_value.svg)")
    );

    let refused = |ran: Ran, why: &str| {
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(ran.err.contains(why), "{}", ran.err);
    };
    let backtest = |cutoff: &str, horizon: &str| {
        perennial(&data, &["score", "backtest", "--cutoff", cutoff, "--horizon", horizon])
    };
    refused(backtest("2020-01-01", "12w"), "choose a later day");
    refused(backtest("2025-01-31", "52w"), "choose an earlier cutoff or a shorter horizon");
    refused(backtest("31.10.2024", "12w"), "write a date such as 2026-03-01");
    refused(backtest("2024-10-31", "soon"), "write 39w, 273d or 1y");

    let fitted =
        perennial(&data, &["score", "fit", "--cutoff", "2025-02-23", "--publish", "-o", "json"]).json();
    assert_eq!(fitted["state"], "published", "{fitted}");
    let compared = perennial(&data, &["score", "compare", "-o", "json"]).json();
    assert_eq!(compared[0]["name"], fitted["name"]);
    assert!(perennial(&data, &["score", "compare"]).out.contains("repeat-last-window"));
    let why = perennial(&data, &["score", "explain", "c000", "-o", "json"]).json();
    assert!(!why["members"].as_array().unwrap().is_empty(), "{why}");
    assert!(perennial(&data, &["score", "explain", "c000"]).out.contains("drawn to the population's"));
    let shown = perennial(&data, &["score", "show"]);
    assert!(shown.out.contains("since 2025-02-23"), "{}{}", shown.out, shown.err);

    let exported = perennial(&data, &["score", "export"]);
    let mut reader = csv::Reader::from_reader(exported.out.as_bytes());
    assert_eq!(reader.headers().unwrap().get(0), Some("profile"));
    assert_eq!(reader.records().filter(|it| it.is_ok()).count(), 260);
    // The same as Parquet, by the file's ending.
    let file = folder.path().join("scores.parquet");
    let ran = perennial(&data, &["score", "export", "--file", &file.to_string_lossy()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written =
        parquet::file::reader::SerializedFileReader::new(std::fs::File::open(&file).unwrap()).unwrap();
    let names: Vec<&str> =
        written.metadata().file_metadata().schema_descr().columns().iter().map(|it| it.name()).collect();
    assert_eq!(names, reader.headers().unwrap().iter().collect::<Vec<_>>());
    let mut texts = csv::Reader::from_reader(exported.out.as_bytes());
    let texts: Vec<csv::StringRecord> = texts.records().map(Result::unwrap).collect();
    let rows: Vec<parquet::record::Row> = written.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), texts.len());
    for (row, text) in rows.iter().zip(&texts) {
        let at = |name: &str| names.iter().position(|it| *it == name).unwrap();
        assert_eq!(row.get_string(at("profile")).unwrap(), &text[at("profile")]);
        for amount in ["revenue_minor", "clv_12m_minor", "clv_12m_high_minor"] {
            // The clock went on between the two exports: a day later a forecast may be another.
            let (one, other) = (row.get_long(at(amount)).unwrap(), text[at(amount)].parse::<i64>().unwrap());
            assert!((one - other).abs() <= 1 + other.abs() / 50, "{amount}: {one} and {other}");
        }
        let last =
            jiff::Timestamp::from_microsecond(row.get_timestamp_micros(at("last_order")).unwrap()).unwrap();
        assert_eq!(last.to_string(), text[at("last_order")]);
    }
    refused(perennial(&data, &["score", "export", "--format", "parquet"]), "name a file with --file");
    let past = perennial(&data, &["score", "export", "--as-of", "2024-02-01", "-o", "json"]).json();
    let past = past.as_array().unwrap();
    assert!(!past.is_empty() && past.len() < 260);
    assert!(
        past.iter().all(|it| it["model"] == "" && it["first_order_time"].as_str().unwrap() < "2024-02-02")
    );
}

#[test]
fn a_model_with_given_parameters_needs_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, "x,t_x,T,horizon\n26,30.86,31,52\n2,50,38.86,39\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let nowhere = folder.path().join("nowhere");
    let parameters = "r=0.5534,alpha=10.5802,s=0.6061,beta=11.6562";
    let ran = perennial(
        &nowhere,
        &["score", "predict", "--model", "pareto-nbd", "--param", parameters, &file, "-o", "json"],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("1 of 2 rows cannot be scored"), "{}", ran.err);
    let rows: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let near = |name: &str, want: f64| {
        let got = rows[0][name].as_f64().unwrap();
        assert!((got / want - 1.0).abs() < 1e-11, "{name}: {got}");
    };
    near("p_alive", 0.997_917_766_552);
    near("expected", 25.454_913_511_5);
    assert_eq!(rows[1]["line"], 3);
    assert!(rows[1]["error"].as_str().unwrap().starts_with("t_x: must lie between 0 and the age"));
    assert!(!nowhere.exists());
}
