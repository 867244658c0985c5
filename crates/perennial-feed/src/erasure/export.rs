//! All that a service knows of some profiles, for the person they are.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, StoreError, Table, Value, any_of, column, query,
};
use perennial_types::{ProfileId, Workspace};
use serde_json::json;

use crate::{Fold, Reader};

/// A table's rows as JSON objects.
type Exported = (String, Vec<String>);

/// What the crate itself keeps for a service, and what an export shows of it.
const OWN: [Table; 2] = [
    Table {
        name: "profile_state",
        columns: &[("profile", Column::Uuid), ("state", Column::Text), ("timers", Column::Text)],
    },
    Table {
        name: "parked",
        columns: &[("profile", Column::Uuid), ("error", Column::Text), ("parked_at", Column::BigInt)],
    },
];

/// Every row that a reader's service keeps of some profiles, by table; tables without any are left out.
pub(crate) async fn export<F: Fold>(
    reader: &Reader<F>,
    workspace: &Workspace,
    profiles: &[ProfileId],
) -> Result<Vec<Exported>, StoreError> {
    let tables = OWN.iter().chain(reader.fold.personal().iter().map(|it| it.table));
    let mut found = Vec::new();
    for table in tables {
        let rows = exported_rows(reader.store.read(), table, workspace, profiles).await?;
        if !rows.is_empty() {
            found.push((table.name.to_owned(), rows));
        }
    }
    Ok(found)
}

/// The rows of a table that are some profiles', as JSON objects; its column `profile` says whose a row is.
///
/// # Errors
/// If the database refuses.
pub async fn exported_rows(
    db: &impl ConnectionTrait,
    table: &Table,
    workspace: &Workspace,
    profiles: &[ProfileId],
) -> Result<Vec<String>, StoreError> {
    let columns: Vec<(&str, Column)> =
        table.columns.iter().filter(|it| it.0 != "workspace").copied().collect();
    let names = columns.iter().map(|it| it.0).collect::<Vec<_>>().join(", ");
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let wanted = profiles.iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql = format!("SELECT {names} FROM {} WHERE workspace = $1 AND {condition}", table.name);
    query(db, "an export", &sql, values).await?.iter().map(|row| object(row, &columns)).collect()
}

fn object(row: &QueryResult, columns: &[(&str, Column)]) -> Result<String, StoreError> {
    let mut object = serde_json::Map::new();
    for (index, (name, kind)) in columns.iter().enumerate() {
        let value = match kind {
            // What is JSON itself is shown as such.
            Column::Text => column::<Option<String>>(row, index)?.map(|text| {
                let nested = text.starts_with(['{', '[']).then(|| serde_json::from_str(&text).ok()).flatten();
                nested.unwrap_or_else(|| json!(text))
            }),
            Column::BigInt => column::<Option<i64>>(row, index)?.map(|it| json!(it)),
            Column::Double => column::<Option<f64>>(row, index)?.map(|it| json!(it)),
            Column::Bool => column::<Option<bool>>(row, index)?.map(|it| json!(it)),
            Column::Uuid => column::<Option<uuid::Uuid>>(row, index)?.map(|it| json!(it.to_string())),
            // Nothing that is kept as bytes can be read by people.
            Column::Bytes => None,
        };
        object.insert((*name).to_owned(), value.unwrap_or_default());
    }
    Ok(serde_json::Value::Object(object).to_string())
}
