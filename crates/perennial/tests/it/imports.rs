//! Files into a data folder, and what is learnt from them.

use std::path::{Path, PathBuf};

use crate::perennial;

const COLUMNS: [&str; 8] = [
    "--column",
    "customer=customer_id",
    "--column",
    "ordered_at=date",
    "--column",
    "revenue=amount",
    "--currency",
    "USD",
];

fn cdnow() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = ["tests/data/cdnow_sample.csv", "../shared/data/cdnow_sample.csv"];
    places.iter().map(|it| root.join(it)).find(|it| it.exists())
}

fn close(found: &serde_json::Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!(((found - expected) / expected).abs() < 2e-4, "{found} is not {expected}");
}

#[test]
fn the_cdnow_sample_gives_the_published_model_and_sends_nothing() {
    let Some(file) = cdnow() else {
        eprintln!("skipped: cdnow_sample.csv is neither in tests/data nor in ../shared/data");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = file.to_string_lossy().into_owned();
    let import: Vec<&str> =
        ["import", "orders", &file].into_iter().chain(COLUMNS).chain(["-o", "json"]).collect();
    let first = perennial(folder.path(), &import).json();
    assert_eq!((&first["accepted"], &first["rejected"]), (&6919.into(), &0.into()));
    let again = perennial(folder.path(), &import).json();
    assert_eq!(
        (&again["accepted"], &again["duplicate"]),
        (&0.into(), &6919.into()),
        "the same file changes nothing"
    );

    let fit = ["score", "fit", "--model", "bg-nbd", "--cutoff", "1997-09-30", "-o", "json"];
    let model = perennial(folder.path(), &fit).json();
    for (name, expected) in [("r", 0.24259), ("alpha", 4.4136), ("a", 0.79292), ("b", 2.4259)] {
        close(&model["parameters"][name], expected);
    }
    close(&model["log_likelihood"], -9582.429);
    for (name, expected) in [("p", 6.2496), ("q", 3.7442), ("gamma", 15.4435)] {
        close(&model["spend_parameters"][name], expected);
    }

    let status = perennial(folder.path(), &["status", "-o", "json"]).json();
    assert_eq!(status["orders"], 6919);
    assert_eq!(status["currency"], "USD");
    assert_eq!(status["messages"], serde_json::json!({}));
}

#[test]
fn a_broken_row_is_told_with_its_line_and_costs_nobody_else_anything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.csv");
    std::fs::write(
        &file,
        "customer,date,amount\nana,2025-01-05,10.00\nben,someday,5\ncarla,2025-01-06,7.50\n",
    )
    .unwrap();
    let data = folder.path().join("data");
    let file = file.to_string_lossy().into_owned();
    let dry = perennial(&data, &["import", "orders", &file, "--dry-run", "-o", "json"]).json();
    assert_eq!((&dry["accepted"], &dry["rejected"]), (&2.into(), &1.into()));
    let ran = perennial(&data, &["import", "orders", &file, "--currency", "EUR"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("line 3: \"someday\" is not a date"), "{}", ran.out);
    assert!(ran.err.contains("customer = customer (guessed)"), "{}", ran.err);
    let status = perennial(&data, &["status", "-o", "json"]).json();
    assert_eq!((&status["profiles"], &status["orders"]), (&2.into(), &2.into()));
    let score = perennial(&data, &["score", "show", "ana"]);
    assert!(
        score.out.contains("historic profit") && score.out.contains("no model"),
        "{}{}",
        score.out,
        score.err
    );
}

#[test]
fn a_catalogue_is_imported_once_and_tells_orders_their_cost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let feed = file(
        "feed.xml",
        "<rss xmlns:g=\"http://base.google.com/ns/1.0\"><channel>\n\
         <item><g:id>mug</g:id><g:title>Mug</g:title><g:price>15.00 EUR</g:price></item>\n\
         <item><g:id>rug</g:id><g:price>a lot</g:price></item>\n</channel></rss>\n",
    );
    let costs = file("costs.csv", "sku;purchase_price\nmug;4,00\npot;7,50\n");
    let with_costs =
        ["--column", "cost=purchase_price", "--currency", "EUR", "--decimal-comma", "-o", "json"];
    let import = |words: &[&str]| perennial(&data, &[&["import", "catalog"], words].concat());

    let dry = import(&[&feed, "--dry-run", "-o", "json"]).json();
    assert_eq!((&dry["created"], &dry["rejected"]), (&1.into(), &1.into()));
    let first = import(&[&feed]);
    assert!(
        first.out.contains("2 rows read, 1 products created, 0 updated, 0 unchanged, 1 rejected"),
        "{}",
        first.out
    );
    assert!(first.out.contains("line 3: price \"a lot\" is not an amount"), "{}", first.out);
    let again = import(&[&feed, "-o", "json"]).json();
    let counts =
        |it: &serde_json::Value| ["created", "updated", "unchanged"].map(|name| it[name].as_u64().unwrap());
    assert_eq!(counts(&again), [0, 0, 1]);
    let second = import(&[&[&costs[..]], &with_costs[..]].concat()).json();
    assert_eq!(counts(&second), [1, 1, 0]);
    let second = import(&[&[&costs[..]], &with_costs[..]].concat()).json();
    assert_eq!(counts(&second), [0, 0, 2], "the same file changes nothing");

    let orders = file(
        "orders.csv",
        "invoice,customer,date,amount,product,quantity,price\n1,ana,2025-01-05,20.00,mug,2,10.00\n\
         1,ana,2025-01-05,20.00,rug,1,20.00\n2,ben,2025-01-06,10.00,mug,1,10.00\n",
    );
    let orders = perennial(&data, &["import", "orders", &orders, "--currency", "EUR", "-o", "json"]).json();
    assert_eq!(orders["accepted"], 2);
    let score = |who: &str| perennial(&data, &["score", "show", who, "-o", "json"]).json();
    // 20.00 − 2 × 4.00 where the cost is known, 40 % of 20.00 where it is not.
    let ana = score("ana");
    assert_eq!(ana["known_cost_share"], 0.5, "{ana}");
    assert_eq!(score("ben")["known_cost_share"], 1.0);
    let status = perennial(&data, &["status", "-o", "json"]).json();
    assert_eq!(status["profit_minor"], 2_600, "{status}");
}
