//! Statements over many rows at once.

use std::fmt::Write as _;

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use crate::{Backend, Result, StoreError};

/// The type of a column, as far as PostgreSQL has to be told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// TEXT.
    Text,
    /// BIGINT.
    BigInt,
    /// DOUBLE PRECISION / REAL.
    Double,
    /// BOOLEAN.
    Bool,
    /// BYTEA / BLOB.
    Bytes,
    /// UUID / 16-byte BLOB.
    Uuid,
}

impl Column {
    fn postgres(self) -> (&'static str, ArrayType) {
        match self {
            Self::Text => ("text", ArrayType::String),
            Self::BigInt => ("bigint", ArrayType::BigInt),
            Self::Double => ("double precision", ArrayType::Double),
            Self::Bool => ("boolean", ArrayType::Bool),
            Self::Bytes => ("bytea", ArrayType::Bytes),
            Self::Uuid => ("uuid", ArrayType::Uuid),
        }
    }

    /// Any value of the type.
    fn placeholder(self) -> Value {
        match self {
            Self::Text => "".into(),
            Self::BigInt => 0_i64.into(),
            Self::Double => 0_f64.into(),
            Self::Bool => false.into(),
            Self::Bytes => Vec::<u8>::new().into(),
            Self::Uuid => sea_orm::prelude::Uuid::nil().into(),
        }
    }
}

/// A table and the columns that statements write.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Columns with their types, in the order of the values.
    pub columns: &'static [(&'static str, Column)],
}

/// Most values SQLite takes in one statement, with room to spare.
const MOST_VALUES: usize = 30_000;

/// How many of `left` rows the next statement of SQLite takes. Only so many sizes, that each statement is prepared once and
/// kept: reading the text of one costs more than writing its rows.
fn portion(left: usize, width: usize) -> usize {
    let sizes = [256, 64, 16].into_iter().find(|it| *it <= left && it * width <= MOST_VALUES);
    sizes.unwrap_or_else(|| left.min(15).min(MOST_VALUES / width))
}

/// Inserts all rows with one statement (on SQLite with a few). `conflict` is what follows the values,
/// such as `ON CONFLICT (workspace, id) DO NOTHING`, or nothing. Answers how many rows were written.
///
/// Two rows with the same key in one call are an error under `DO UPDATE` on PostgreSQL: make them unique first.
///
/// # Errors
/// If the database refuses.
pub async fn insert_rows(
    db: &impl ConnectionTrait,
    table: &Table,
    rows: Vec<Vec<Value>>,
    conflict: &str,
) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let names = table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT INTO {} ({names})", table.name);
    match Backend::of(db) {
        Backend::Postgres => {
            let (arrays, source) = unnested(table, rows);
            let sql = format!("{insert} {source} {conflict}");
            execute(db, table.name, &sql, arrays).await
        }
        Backend::Sqlite => {
            let width = table.columns.len();
            let mut written = 0;
            let mut rows = rows.into_iter();
            while rows.len() > 0 {
                let portion = portion(rows.len(), width);
                let mut chunk: Vec<Value> = Vec::with_capacity(portion * width);
                chunk.extend(rows.by_ref().take(portion).flatten());
                let mut sql = format!("{insert} VALUES ");
                for row in 0..chunk.len() / width {
                    sql.push_str(if row == 0 { "(" } else { ",(" });
                    for column in 0..width {
                        sql.push_str(if column == 0 { "?" } else { ",?" });
                    }
                    sql.push(')');
                }
                sql.push(' ');
                sql.push_str(conflict);
                written += execute(db, table.name, &sql, chunk).await?;
            }
            Ok(written)
        }
    }
}

/// Whether a value of one of the columns' types is null.
fn is_null(value: &Value) -> bool {
    matches!(
        value,
        Value::String(None)
            | Value::BigInt(None)
            | Value::Double(None)
            | Value::Bool(None)
            | Value::Bytes(None)
            | Value::Uuid(None)
    )
}

/// Rows as one array a column, and the query that reads them back. Arrays hold no nulls (the driver cannot bind them):
/// a column that has any comes with a second array that says where.
fn unnested(table: &Table, rows: Vec<Vec<Value>>) -> (Vec<Value>, String) {
    let mut columns: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let (mut arrays, mut types, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut masks, mut selected) = (Vec::new(), Vec::new());
    for ((n, values), (_, column)) in (1..).zip(columns).zip(table.columns) {
        let (word, kind) = column.postgres();
        let nulls: Vec<bool> = values.iter().map(is_null).collect();
        let mut values = values;
        if nulls.contains(&true) {
            selected.push(format!("CASE WHEN n{n} THEN NULL ELSE c{n} END"));
            for (value, null) in values.iter_mut().zip(&nulls) {
                if *null {
                    *value = column.placeholder();
                }
            }
            masks.push((n, nulls));
        } else {
            selected.push(format!("c{n}"));
        }
        arrays.push(Value::Array(kind, Some(Box::new(values))));
        types.push(format!("${}::{word}[]", arrays.len()));
        names.push(format!("c{n}"));
    }
    for (n, nulls) in masks {
        let nulls = nulls.into_iter().map(Value::from).collect();
        arrays.push(Value::Array(ArrayType::Bool, Some(Box::new(nulls))));
        types.push(format!("${}::boolean[]", arrays.len()));
        names.push(format!("n{n}"));
    }
    let (selected, types, names) = (selected.join(", "), types.join(", "), names.join(", "));
    (arrays, format!("SELECT {selected} FROM unnest({types}) AS t({names})"))
}

/// Deletes the rows whose columns equal one of the given keys, with one statement a chunk. The table's columns here
/// are the key's.
///
/// # Errors
/// If the database refuses.
pub async fn delete_rows(db: &impl ConnectionTrait, table: &Table, keys: Vec<Vec<Value>>) -> Result<u64> {
    let names = table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut deleted = 0;
    let mut keys = keys.into_iter().peekable();
    while keys.peek().is_some() {
        let chunk: Vec<Vec<Value>> = keys.by_ref().take(1_000).collect();
        let (values, wanted) = match Backend::of(db) {
            Backend::Postgres => unnested(table, chunk),
            Backend::Sqlite => {
                let places = |n: usize, key: &[Value]| {
                    let places = (n * key.len() + 1..=(n + 1) * key.len()).map(|n| format!("${n}"));
                    format!("({})", places.collect::<Vec<_>>().join(", "))
                };
                let tuples = chunk.iter().enumerate().map(|(n, key)| places(n, key)).collect::<Vec<_>>();
                (chunk.concat(), format!("VALUES {}", tuples.join(", ")))
            }
        };
        let sql = format!("DELETE FROM {} WHERE ({names}) IN ({wanted})", table.name);
        deleted += execute(db, table.name, &sql, values).await?;
    }
    Ok(deleted)
}

/// The condition that `column` is one of `wanted`, which are appended to `values` as one: the statement's text is the same
/// for any number of them, so that it is prepared once. An array on PostgreSQL, a JSON array on SQLite.
pub fn any_of(
    backend: Backend,
    column: &str,
    kind: Column,
    wanted: Vec<Value>,
    values: &mut Vec<Value>,
) -> String {
    match backend {
        Backend::Postgres => {
            values.push(Value::Array(kind.postgres().1, Some(Box::new(wanted))));
            let (word, n) = (kind.postgres().0, values.len());
            // From within a query of its own the planner does not see how many there are, and looks each up in the index.
            // Of hundreds it would think that reading the whole table is cheaper, as long as that is small or has no
            // statistics: it is not, where the table is in memory.
            format!("{column} = ANY((SELECT ${n}::{word}[])::{word}[])")
        }
        Backend::Sqlite => {
            values.push(json_array(&wanted).into());
            let value = if matches!(kind, Column::Uuid | Column::Bytes) { "unhex(value)" } else { "value" };
            format!("{column} IN (SELECT {value} FROM json_each(${}))", values.len())
        }
    }
}

/// A table of one column, `value`, of all of `given`, which are appended to `values` as one as [`any_of`] does.
pub fn array_of(
    backend: Backend,
    kind: Column,
    given: impl Iterator<Item = Value>,
    values: &mut Vec<Value>,
) -> String {
    let (given, n) = (given.collect::<Vec<_>>(), values.len() + 1);
    match backend {
        Backend::Postgres => {
            values.push(Value::Array(kind.postgres().1, Some(Box::new(given))));
            format!("unnest(${n}::{}[]) AS given(value)", kind.postgres().0)
        }
        Backend::Sqlite => {
            values.push(json_array(&given).into());
            format!("json_each(${n})")
        }
    }
}

/// Bytes in hexadecimal, since JSON has none; nulls, which nothing equals, are left out.
fn json_array(wanted: &[Value]) -> String {
    let mut array = String::with_capacity(2 + 35 * wanted.len());
    array.push('[');
    for value in wanted {
        let before = array.len();
        if before > 1 {
            array.push(',');
        }
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Uuid(Some(it)) => write!(array, "\"{}\"", it.simple()),
            Value::Bytes(Some(it)) => {
                array.push('"');
                let written = it.iter().try_for_each(|byte| write!(array, "{byte:02x}"));
                array.push('"');
                written
            }
            Value::String(Some(it)) => write!(array, "{}", serde_json::Value::from(it.as_str())),
            Value::BigInt(Some(it)) => write!(array, "{it}"),
            _ => {
                array.truncate(before);
                Ok(())
            }
        };
    }
    array.push(']');
    array
}

/// Runs a statement; `what` names it in errors. Answers how many rows it touched.
///
/// # Errors
/// If the database refuses.
pub async fn execute(
    db: &impl ConnectionTrait,
    what: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.execute_raw(statement).await.map(|it| it.rows_affected()).map_err(StoreError::of(what))
}

/// Reads rows; `what` names the query in errors.
///
/// # Errors
/// If the database refuses.
pub async fn query(
    db: &impl ConnectionTrait,
    what: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>> {
    let backend: DbBackend = db.get_database_backend();
    db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await.map_err(StoreError::of(what))
}

/// Reads one row, if there is one.
///
/// # Errors
/// If the database refuses.
pub async fn query_one(
    db: &impl ConnectionTrait,
    what: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>> {
    let backend: DbBackend = db.get_database_backend();
    db.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await.map_err(StoreError::of(what))
}

/// Reads a column of a row by its place.
///
/// # Errors
/// If the value has another type than asked for.
pub fn column<T: sea_orm::TryGetable>(row: &QueryResult, index: usize) -> Result<T> {
    row.try_get_by_index(index).map_err(StoreError::of("reading a column"))
}
