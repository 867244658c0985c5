//! Scores as Parquet.

use super::columns::{cells, plain};
use crate::export::Sheet;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use perennial_api::scoring::v1::{Interval, Score, Value};

#[test]
fn a_file_reads_back_as_it_was_written_over_several_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    let mut sheet = Sheet::new(std::fs::File::create(&path).unwrap(), "score", "main", plain()).unwrap();
    let count = 2 * 20_000_usize + 17;
    let at = |seconds: i64, nanos: i32| Some(prost_types::Timestamp { seconds, nanos });
    for n in 0..count {
        let whole = i64::try_from(n).unwrap();
        let has_model = n % 3 > 0;
        let interval = Interval { level: 0.8, low_minor: -5, high_minor: whole };
        let value =
            Value { months: 12, expected_minor: whole, expected_orders: 0.5, intervals: vec![interval] };
        let score = Score {
            name: format!("workspaces/main/profiles/{n:06}"),
            as_of_time: at(1_700_000_000, 123_456_000),
            model: if has_model { "stack@3".to_owned() } else { String::new() },
            model_cutoff_date: if has_model { "2025-02-23".to_owned() } else { String::new() },
            currency: "EUR".to_owned(),
            orders: whole + 1,
            profit_minor: -whole,
            p_alive: has_model.then_some(0.25),
            values: if has_model { vec![value] } else { vec![] },
            reactivated: n % 2 == 0,
            ..Score::default()
        };
        sheet.add(cells(&score)).unwrap();
    }
    sheet.end().unwrap();

    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert_eq!((metadata.num_row_groups(), metadata.file_metadata().num_rows()), (3, count as i64));
    let told = metadata.file_metadata().key_value_metadata().unwrap();
    assert!(told.iter().any(|it| it.key == "perennial.workspace" && it.value.as_deref() == Some("main")));
    let position = |name: &str| plain().iter().position(|it| it.name == name).unwrap();
    for (n, row) in reader.get_row_iter(None).unwrap().enumerate() {
        let row = row.unwrap();
        assert_eq!(row.get_string(position("profile")).unwrap(), &format!("{n:06}"));
        assert_eq!(row.get_timestamp_micros(position("as_of")).unwrap(), 1_700_000_000_123_456);
        assert_eq!(row.get_long(position("profit_minor")).unwrap(), -(n as i64));
        assert_eq!(row.get_bool(position("reactivated")).unwrap(), n % 2 == 0);
        let (_, date) = row.get_column_iter().nth(position("model_cutoff_date")).unwrap();
        if n % 3 > 0 {
            assert_eq!(*date, Field::Date(20_142));
            assert_eq!(row.get_double(position("p_alive")).unwrap().to_bits(), 0.25_f64.to_bits());
            assert_eq!(row.get_long(position("clv_12m_minor")).unwrap(), n as i64);
            assert_eq!(row.get_long(position("clv_12m_low_minor")).unwrap(), -5);
        } else {
            assert_eq!(*date, Field::Null);
            assert!(row.get_string(position("model")).is_err(), "a null");
            assert!(row.get_double(position("p_alive")).is_err());
        }
        assert!(row.get_timestamp_micros(position("lapse")).is_err());
    }
}
