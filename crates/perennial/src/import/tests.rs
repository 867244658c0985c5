//! Files in, events out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use perennial_api::ingestion::v1::Event;

use super::run::{Item, Outcome, Plan, Summary};
use super::{Dates, Kind, Resume, run};

fn file(folder: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn plan(kind: Kind, path: PathBuf) -> Plan {
    let dates = Dates { format: None, zone: jiff::tz::TimeZone::UTC };
    Plan { kind, path, said: vec![], dates, currency: None, comma: false, dry_run: false }
}

async fn imported(
    plan: Plan,
    resume: Option<Resume>,
) -> anyhow::Result<(Summary, Vec<Event>, Option<PathBuf>)> {
    let events = Mutex::new(Vec::new());
    let send = async |items: Vec<Item>| {
        let outcomes = vec![Outcome::Accepted; items.len()];
        for item in items {
            if let Item::Event(event) = item {
                events.lock().unwrap().push(*event);
            }
        }
        Ok(outcomes)
    };
    let (summary, rejects) = run(plan, resume, |_, _, _| {}, send).await?;
    Ok((summary, events.into_inner().unwrap(), rejects))
}

#[tokio::test]
async fn a_broken_row_costs_only_itself_and_is_kept_with_its_line_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let text = "customer_id,date,amount\n1,1997-01-01,11.77\n2,1997-13-01,5\n3,1997-01-02,\"1,50\"\n4,1997-01-03\n\
                5,1997-01-04,0.00\n";
    let path = file(folder.path(), "orders.csv", text.as_bytes());
    let (summary, events, rejects) = imported(plan(Kind::Orders, path.clone()), None).await.unwrap();
    assert_eq!((summary.rows, summary.accepted, summary.rejected), (5, 2, 3));
    assert_eq!(events.iter().map(|it| it.user_id.as_str()).collect::<Vec<_>>(), ["1", "5"]);
    let rejects = std::fs::read_to_string(rejects.unwrap()).unwrap();
    let lines: Vec<_> = rejects.lines().collect();
    assert_eq!(lines[0], "rejected_line,rejected_reason,customer_id,date,amount");
    assert!(lines[1].starts_with("3,") && lines[1].contains("1997-13-01"), "{rejects}");
    assert!(lines[2].contains("--decimal-comma"), "{rejects}");
    assert!(lines[3].contains("2 fields, the header 3"), "{rejects}");

    // Mended, the file of rejected rows goes in as it is.
    let mended = rejects.replace("1997-13-01", "1997-12-01").replace("\"1,50\"", "1.50");
    let path = file(folder.path(), "mended.csv", mended.as_bytes());
    let (summary, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected), (2, 1));
    assert_eq!(events[0].user_id, "2");
}

#[tokio::test]
async fn the_same_rows_give_the_same_ids_whatever_file_they_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let text = "customer_id,date,amount\n1,1997-01-01,11.77\n1,1997-01-01,11.77\n2,1997-01-05,9.00\n";
    let plain = file(folder.path(), "plain.csv", text.as_bytes());
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(text.as_bytes()).unwrap();
    let zipped = file(folder.path(), "zipped.csv.gz", &zip.finish().unwrap());
    let json = "{\"customer_id\":1,\"date\":\"1997-01-01\",\"amount\":\"11.77\"}\n\n\
                {\"customer_id\":\"1\",\"date\":\"1997-01-01\",\"amount\":11.77}\n\
                {\"customer_id\":2,\"date\":\"1997-01-05\",\"amount\":9.0}\n";
    let lines = file(folder.path(), "orders.ndjson", json.as_bytes());
    let mut ids = Vec::new();
    for path in [plain, zipped, lines] {
        let (_, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
        ids.push(events.into_iter().map(|it| it.message_id).collect::<Vec<_>>());
    }
    assert_eq!(ids[0].len(), 3);
    assert_ne!(ids[0][0], ids[0][1], "two equal orders are two");
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

#[tokio::test]
async fn rows_of_one_order_become_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = "invoice;customer_id;date;amount;product;quantity;price\nA1;7;2026-01-01;10.00;soap;2;5.00\n\
                A1;7;2026-01-01;2.50;rag;1;2.50\nA2;7;2026-01-02;1.00;rag;1;1.00\n";
    let path = file(folder.path(), "lines.csv", text.as_bytes());
    let (summary, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
    assert_eq!((summary.rows, summary.items), (3, 2));
    let json = perennial_rpc::structs::to_json(events[0].properties.clone().unwrap());
    assert_eq!(json["order_id"], "A1");
    assert_eq!(json["revenue"], "12.50");
    assert_eq!(json["products"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "customer_id,date,amount\n".to_owned();
    for row in 0..9_000 {
        let date = if row % 1_000 == 7 { "never" } else { "1997-01-01" };
        text.push_str(&format!("{},{date},5.00\n", row % 50));
    }
    let path = file(folder.path(), "orders.csv", text.as_bytes());
    let (whole, all, _) = imported(plan(Kind::Orders, path.clone()), None).await.unwrap();

    let resume = Resume::of(folder.path(), &path, "").unwrap();
    let first = Mutex::new(Vec::new());
    let fail_after_two = async |items: Vec<Item>| {
        let mut first = first.lock().unwrap();
        anyhow::ensure!(first.len() < 5_000, "the server went away");
        let outcomes = vec![Outcome::Accepted; items.len()];
        first.extend(items);
        Ok(outcomes)
    };
    let failed =
        run(plan(Kind::Orders, path.clone()), Some(resume.clone()), |_, _, _| {}, fail_after_two).await;
    assert!(failed.unwrap_err().to_string().contains("went away"));
    assert!(resume.place().rows > 0);

    let (rest, more, rejects) = imported(plan(Kind::Orders, path), Some(resume.clone())).await.unwrap();
    assert_eq!(rest, whole);
    let mut ids: Vec<_> = first
        .into_inner()
        .unwrap()
        .into_iter()
        .map(|it| match it {
            Item::Event(it) => it.message_id,
            Item::Product(it) => it.id,
        })
        .collect();
    ids.extend(more.into_iter().map(|it| it.message_id));
    ids.dedup();
    assert_eq!(ids, all.into_iter().map(|it| it.message_id).collect::<Vec<_>>());
    let rejected = std::fs::read_to_string(rejects.unwrap()).unwrap();
    assert_eq!(rejected.lines().count(), 10, "{rejected}");
    assert_eq!(resume.place().rows, 0, "done: the next one begins anew");
}

#[tokio::test]
async fn a_dry_run_sends_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "orders.csv", b"customer,date,amount\n1,1997-01-01,5\n2,x,5\n");
    let plan = Plan { dry_run: true, ..plan(Kind::Orders, path) };
    let (summary, events, rejects) = imported(plan, None).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected, events.len()), (1, 1, 0));
    assert_eq!(summary.reasons[0].0, 3);
    assert!(rejects.is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn events_come_as_the_specification_writes_them_or_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let json = r#"{"type":"track","userId":"7","event":"Song Played","timestamp":"2026-01-01T10:00:00Z","messageId":"m1","properties":{"name":"x","list":[1]}}
{"type":"identify","anonymousId":"a","timestamp":"2026-01-01T10:00:00Z","traits":{"email":"ana@example.com"}}
{"type":"track","event":"Nobody","timestamp":"2026-01-01T10:00:00Z"}
[1]
"#;
    let path = file(folder.path(), "events.ndjson", json.as_bytes());
    let (summary, events, _) = imported(plan(Kind::Events, path), None).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected), (2, 2), "{:?}", summary.reasons);
    assert_eq!(events[0].message_id, "m1");
    assert_eq!((events[1].r#type.as_str(), events[1].anonymous_id.as_str()), ("identify", "a"));

    let csv = "user_id,event,timestamp,plan,seats\n7,Trial Started,2026-01-01 10:00,pro,3\n";
    let path = file(folder.path(), "events.csv", csv.as_bytes());
    let (_, events, _) = imported(plan(Kind::Events, path), None).await.unwrap();
    let json = perennial_rpc::structs::to_json(events[0].properties.clone().unwrap());
    assert_eq!(serde_json::Value::Object(json), serde_json::json!({ "plan": "pro", "seats": 3 }));
}

#[tokio::test]
async fn profiles_become_identify_calls_with_their_other_columns_as_traits() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "Customer ID,Email,email_consent,zip,points\n7,ana@example.com,true,01099,12\n";
    let path = file(folder.path(), "profiles.csv", csv.as_bytes());
    let (_, events, _) = imported(plan(Kind::Profiles, path), None).await.unwrap();
    let json = perennial_rpc::structs::to_json(events[0].properties.clone().unwrap());
    let expected = serde_json::json!({ "email": "ana@example.com", "email_consent": true, "zip": "01099", "points": 12 });
    assert_eq!(serde_json::Value::Object(json), expected);
}

#[tokio::test]
async fn a_column_that_cannot_be_found_is_asked_for_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "orders.csv", b"who,date,amount\n1,1997-01-01,5\n");
    let missing = imported(plan(Kind::Orders, path.clone()), None).await.unwrap_err().to_string();
    assert!(
        missing.contains("--column customer=COLUMN") && missing.contains("who, date, amount"),
        "{missing}"
    );
    let said = |field: &str, column: &str| vec![(field.to_owned(), column.to_owned())];
    let wrong = Plan { said: said("customer", "buyer"), ..plan(Kind::Orders, path.clone()) };
    let refused = imported(wrong, None).await.unwrap_err().to_string();
    assert!(refused.contains("no column \"buyer\""), "{refused}");
    let wrong = Plan { said: said("custmer", "who"), ..plan(Kind::Orders, path.clone()) };
    assert!(imported(wrong, None).await.unwrap_err().to_string().contains("no field \"custmer\""));
    let right = Plan { said: said("customer", "who"), ..plan(Kind::Orders, path) };
    assert_eq!(imported(right, None).await.unwrap().0.accepted, 1);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_does_not_eat_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = b"customer,date,amount\n\"1,1997-01-01,5\n".to_vec();
    for _ in 0..700_000 {
        text.extend_from_slice(b"2,1997-01-01,5\n");
    }
    let path = file(folder.path(), "orders.csv", &text);
    let stopped = imported(plan(Kind::Orders, path), None).await.unwrap_err();
    assert!(format!("{stopped:#}").contains("never closed"), "{stopped:#}");
}
