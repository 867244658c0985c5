//! Files in, events out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use perennial_api::catalog::v1::Product;
use perennial_api::catalog::v1::product::Availability;
use perennial_api::ingestion::v1::Event;

use perennial_types::Timestamp;

use super::run::{Item, Outcome, Plan, Summary};
use super::{Dates, Kind, Resume, run};

fn file(folder: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn plan(kind: Kind, path: PathBuf) -> Plan {
    let dates = Dates { format: None, zone: jiff::tz::TimeZone::UTC };
    Plan {
        kind,
        path,
        said: vec![],
        dates,
        currency: None,
        comma: false,
        now: Timestamp::UNIX_EPOCH,
        dry_run: false,
    }
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
    let text = "invoice;customer_id;date;amount;product;quantity;price;channel;country\n\
                A1;7;2026-01-01;10.00;soap;2;5.00;search;PT\nA1;7;2026-01-01;2.50;rag;1;2.50;search;PT\n\
                A2;7;2026-01-02;1.00;rag;1;1.00;;\n";
    let path = file(folder.path(), "lines.csv", text.as_bytes());
    let (summary, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
    assert_eq!((summary.rows, summary.items), (3, 2));
    let json = perennial_rpc::structs::to_json(events[0].properties.clone().unwrap());
    assert_eq!(json["order_id"], "A1");
    assert_eq!(json["revenue"], "12.50");
    assert_eq!(json["products"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&json["channel"], &json["country"]),
        (&"search".into(), &"PT".into()),
        "what cold starts go by"
    );
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
            Item::Product(it) => it.product_id,
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

async fn products(plan: Plan) -> anyhow::Result<(Summary, Vec<Product>, Option<PathBuf>)> {
    let products = Mutex::new(Vec::new());
    let send = async |items: Vec<Item>| {
        let outcomes = vec![Outcome::Accepted; items.len()];
        for item in items {
            if let Item::Product(it) = item {
                products.lock().unwrap().push(*it);
            }
        }
        Ok(outcomes)
    };
    let (summary, rejects) = run(plan, None, |_, _, _| {}, send).await?;
    Ok((summary, products.into_inner().unwrap(), rejects))
}

const RSS: &str = r#"<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0" xmlns:c="http://base.google.com/cns/1.0">
<channel>
<title>Shop</title><link>https://shop.example</link>
<item>
  <title>Feed title</title>
  <g:id>mug-red</g:id>
  <g:title>Mug &amp; <![CDATA[saucer <red>]]> caf&#233;</g:title>
  <description>long</description>
  <link>https://shop.example/mug?a=1&amp;b=2</link>
  <g:image_link>https://shop.example/1.jpg</g:image_link>
  <g:additional_image_link>https://shop.example/2.jpg</g:additional_image_link>
  <g:price>15.00 EUR</g:price>
  <g:sale_price>12.90 EUR</g:sale_price>
  <g:sale_price_effective_date>1969-12-31T00:00Z/1970-01-02T00:00Z</g:sale_price_effective_date>
  <g:cost_of_goods_sold>4.10 USD</g:cost_of_goods_sold>
  <g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping>
  <g:availability>in stock</g:availability>
  <g:item_group_id>mug</g:item_group_id>
  <g:product_type>Kitchen &gt;Mugs</g:product_type>
  <c:price>1 EUR</c:price>
</item>
<item><g:id>bad</g:id><g:price>12,90 EUR</g:price></item>
<item><g:id>odd</g:id><g:title>a &nbsp; b</g:title></item>
<item><g:title>nameless</g:title></item>
<item>
  <g:id>plate</g:id><g:price>20 EUR</g:price><g:sale_price>10 EUR</g:sale_price>
  <g:sale_price_effective_date>2030-01-01T00:00Z/2030-01-02T00:00Z</g:sale_price_effective_date>
</item>
</channel></rss>
"#;

#[tokio::test]
async fn a_google_feed_becomes_products_and_its_bad_items_can_be_mended() {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(RSS.as_bytes()).unwrap();
    let path = file(folder.path(), "feed.xml.gz", &zip.finish().unwrap());
    let (summary, found, rejects) = products(plan(Kind::Catalog, path)).await.unwrap();
    assert_eq!((summary.rows, summary.items, summary.rejected), (5, 2, 3), "{:?}", summary.reasons);
    let expected = Product {
        product_id: "mug-red".to_owned(),
        group_id: "mug".to_owned(),
        title: "Mug & saucer <red> café".to_owned(),
        category: "Kitchen > Mugs".to_owned(),
        url: "https://shop.example/mug?a=1&b=2".to_owned(),
        image_url: "https://shop.example/1.jpg".to_owned(),
        currency: "EUR".to_owned(),
        price_minor: Some(1_290),
        list_price_minor: Some(1_500),
        cost_currency: "USD".to_owned(),
        cost_minor: Some(410),
        availability: Availability::InStock.into(),
        ..Product::default()
    };
    assert_eq!(found[0], expected);
    assert_eq!((found[1].price_minor, found[1].list_price_minor), (Some(2_000), None), "no sale yet");
    let lines: Vec<u64> = summary.reasons.iter().map(|it| it.0).collect();
    assert_eq!(lines, [23, 24, 25], "{:?}", summary.reasons);
    assert!(summary.reasons[0].1.contains("--decimal-comma") && summary.reasons[1].1.contains("&nbsp;"));

    let mended = std::fs::read_to_string(rejects.unwrap()).unwrap().replace("12,90", "12.90");
    let path = file(folder.path(), "mended.csv", mended.as_bytes());
    let (summary, found, _) = products(plan(Kind::Catalog, path)).await.unwrap();
    assert_eq!((summary.items, summary.rejected), (2, 1), "{:?}", summary.reasons);
    assert_eq!((found[0].product_id.as_str(), found[0].price_minor), ("bad", Some(1_290)));
}

#[tokio::test]
async fn an_atom_feed_and_other_prefixes_are_read_and_broken_xml_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let atom = "<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:x=\"http://base.google.com/ns/1.0\">\n<entry>\
                <x:id>1</x:id><id>tag:other</id><link href=\"https://shop.example/1\"/><x:price>1 EUR</x:price></entry>\n\
                <entry><id>2</id></entry></feed>";
    let path = file(folder.path(), "atom.xml", atom.as_bytes());
    let (_, found, _) = products(plan(Kind::Catalog, path)).await.unwrap();
    let said: Vec<_> = found.iter().map(|it| (it.product_id.as_str(), it.url.as_str())).collect();
    assert_eq!(said, [("1", "https://shop.example/1"), ("2", "")]);

    for (text, reason) in [
        ("<rss>\n<item>\n<id>1</item></rss>", "from line 3"),
        ("<rss>\n<item><id>1</id>", "ends within the item that begins on line 2"),
        ("<rss><item><id>\u{0}</id></item></rss>", ""),
        ("<html></html>", ""),
    ] {
        let path = file(folder.path(), "broken.xml", text.as_bytes());
        match products(plan(Kind::Catalog, path)).await {
            Ok((summary, ..)) => assert!(reason.is_empty() && summary.rejected <= 1, "{text}"),
            Err(error) => assert!(format!("{error:#}").contains(reason), "{error:#}"),
        }
    }
    let path = file(folder.path(), "orders.xml", b"<orders/>");
    let refused = products(plan(Kind::Orders, path)).await.unwrap_err().to_string();
    assert!(refused.contains("import catalog"), "{refused}");
}

#[tokio::test]
async fn an_element_that_is_never_closed_does_not_eat_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("<rss><item><id>1</id><title>{}", "x".repeat(9 << 20));
    let path = file(folder.path(), "feed.xml", text.as_bytes());
    let stopped = products(plan(Kind::Catalog, path)).await.unwrap_err();
    assert!(format!("{stopped:#}").contains("never closed"), "{stopped:#}");
    let bomb =
        "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><rss><item><id>&b;</id></item></rss>";
    let path = file(folder.path(), "bomb.xml", bomb.as_bytes());
    let (summary, ..) = products(plan(Kind::Catalog, path)).await.unwrap();
    assert_eq!((summary.items, summary.rejected), (0, 1), "entities are not expanded");
}

#[tokio::test]
async fn a_table_of_products_may_say_as_little_as_it_likes() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "id\tsku\tstock\tprice\tin_stock\n1\tA-1\t-2\t\t\n2\t2\t\t12.90 EUR\tno\n";
    let path = file(folder.path(), "stock.tsv", csv.as_bytes());
    let (_, found, _) = products(plan(Kind::Catalog, path)).await.unwrap();
    let first = Product {
        product_id: "1".to_owned(),
        sku: "A-1".to_owned(),
        stock_quantity: Some(0),
        ..Product::default()
    };
    assert_eq!(found[0], first);
    assert_eq!((found[1].sku.as_str(), found[1].price_minor), ("", Some(1_290)));
    assert_eq!(found[1].availability(), Availability::OutOfStock);
    let json = "{\"id\":7,\"description\":\"long\",\"title\":\"Mug\",\"price\":1.5,\"currency\":\"EUR\"}\n";
    let path = file(folder.path(), "products.ndjson", json.as_bytes());
    let (_, found, _) = products(plan(Kind::Catalog, path)).await.unwrap();
    assert_eq!((found[0].title.as_str(), found[0].price_minor), ("Mug", Some(150)));
}

/// Name, order and revenue of events about orders.
fn told(events: &[Event]) -> Vec<(String, String, String)> {
    let word = |event: &Event, name: &str| {
        let json = perennial_rpc::structs::to_json(event.properties.clone().unwrap());
        json[name].as_str().unwrap_or_default().to_owned()
    };
    events.iter().map(|it| (it.event.clone(), word(it, "order_id"), word(it, "revenue"))).collect()
}

fn about(name: &str, order: &str, revenue: &str) -> (String, String, String) {
    (format!("Order {name}"), order.to_owned(), revenue.to_owned())
}

#[tokio::test]
async fn orders_whose_rows_alternate_are_whole_and_what_comes_back_is_of_the_order_that_sold_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "customer,date,amount,product,quantity,invoice\n\
                ana,2026-01-01,10,mug,2,1\nben,2026-01-01,7,mug,1,2\nana,2026-01-01,5,pot,1,1\n\
                ben,2026-01-01,3,pot,1,2\nana,2026-01-01,-1,DISCOUNT,-1,1\n\
                ana,2026-01-02,5,mug,1,3\nana,2026-01-03,-15,mug,-3,C4\nben,2026-01-03,-2,rug,-1,C5\n\
                ben,2026-01-04,0.00,bag,1,6\nana,2026-01-05,-4,pot,-1,C7\nana,2026-01-05,-1,M,-1,C7\n";
    let path = file(folder.path(), "orders.csv", text.as_bytes());
    let (summary, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
    assert_eq!((summary.rows, summary.rejected, summary.accepted), (11, 0, 9), "{:?}", summary.reasons);
    let expected = [
        about("Completed", "1", "14.00"),
        about("Completed", "2", "10.00"),
        about("Completed", "3", "5.00"),
        about("Refunded", "1", "10.00"),
        about("Refunded", "3", "5.00"),
        about("Refunded", "C5", "2.00"),
        about("Completed", "6", "0.00"),
        about("Refunded", "1", "4.00"),
        about("Refunded", "C7", "1.00"),
    ];
    assert_eq!(told(&events), expected);
    let ids: std::collections::BTreeSet<_> = events.iter().map(|it| &it.message_id).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test]
async fn a_refund_may_name_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = "customer,date,amount,order,original_order\nana,2026-01-01,10,1,\nana,2026-01-02,-4,R1,1\n";
    let path = file(folder.path(), "orders.csv", text.as_bytes());
    let (_, events, _) = imported(plan(Kind::Orders, path), None).await.unwrap();
    assert_eq!(told(&events), [about("Completed", "1", "10.00"), about("Refunded", "1", "4.00")]);
}

/// Writes orders as Parquet, compressed as others do.
fn parquet(path: &Path, compression: parquet::basic::Compression) {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    let schema =
        "message orders { required binary customer_id (STRING); required int64 date (TIMESTAMP(NANOS,true));
        optional int64 amount (DECIMAL(18,2)); optional double discount; optional int32 day (DATE); }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let properties = std::sync::Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut n = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        match n {
            0 => {
                let names: Vec<ByteArray> = ["ana", "ben", "eve"].map(|it| it.into()).to_vec();
                column.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap();
            }
            1 => {
                let at = 1_767_225_600_123_456_789_i64;
                column.typed::<Int64Type>().write_batch(&[at, at, at], None, None).unwrap();
            }
            2 => {
                column.typed::<Int64Type>().write_batch(&[1_990, 5], Some(&[1, 1, 0]), None).unwrap();
            }
            3 => {
                column.typed::<DoubleType>().write_batch(&[0.5], Some(&[1, 0, 0]), None).unwrap();
            }
            _ => {
                column.typed::<Int32Type>().write_batch(&[20_454], Some(&[1, 0, 0]), None).unwrap();
            }
        }
        column.close().unwrap();
        n += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn parquet_is_read_with_its_types_however_it_is_compressed_and_what_is_refused_can_be_mended() {
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    let folder = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for (n, compression) in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{n}.parquet"));
        parquet(&path, compression);
        let (summary, events, rejects) = imported(plan(Kind::Orders, path), None).await.unwrap();
        assert_eq!((summary.rows, summary.accepted, summary.rejected), (3, 2, 1), "{compression:?}");
        assert_eq!(summary.reasons[0], (3, "amount is empty: revenue has to be there".to_owned()));
        assert_eq!(told(&events).iter().map(|it| it.2.as_str()).collect::<Vec<_>>(), ["19.90", "0.05"]);
        assert_eq!(
            events[0].event_time.as_ref().unwrap().nanos,
            123_456_000,
            "microseconds are what is kept"
        );
        ids.push(events.into_iter().map(|it| it.message_id).collect::<Vec<_>>());
        let rejects = rejects.unwrap();
        let mended =
            std::fs::read_to_string(&rejects).unwrap().replace("\"\"amount\"\":null", "\"\"amount\"\":7");
        std::fs::write(&rejects, mended).unwrap();
        let (summary, events, _) = imported(plan(Kind::Orders, rejects), None).await.unwrap();
        assert_eq!((summary.accepted, told(&events)[0].2.as_str()), (1, "7.00"));
    }
    assert!(ids.iter().all(|it| *it == ids[0]), "the same rows are the same orders");
    let path = file(folder.path(), "broken.parquet", b"PAR1 and nothing more");
    assert!(imported(plan(Kind::Orders, path), None).await.is_err());
}
