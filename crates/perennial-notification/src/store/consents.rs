//! The projection of consent, kept up by the feed.

use std::collections::BTreeMap;

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, Result, Table, any_of, column, delete_rows,
    insert_rows, query,
};
use perennial_types::{Channel, ProfileId, Purpose, Timestamp, Workspace, from_micros, micros};

pub const TABLE: Table = Table {
    name: "consent",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("channel", Column::Text),
        ("purpose", Column::Text),
        ("granted", Column::Bool),
        ("at", Column::BigInt),
    ],
};

/// A consent of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Whose.
    pub profile: ProfileId,
    /// For which channel.
    pub channel: Channel,
    /// For which purpose.
    pub purpose: Purpose,
    /// Given or withdrawn.
    pub granted: bool,
    /// When.
    pub at: Timestamp,
}

/// Keeps consents as they stand now; each profile, channel and purpose at most once.
pub async fn save(tx: &DatabaseTransaction, workspace: &Workspace, consents: &[Consent]) -> Result<()> {
    let rows = consents.iter().map(|it| {
        vec![
            workspace.as_str().into(),
            it.profile.0.into(),
            it.channel.as_str().into(),
            it.purpose.as_str().into(),
            it.granted.into(),
            micros(it.at).into(),
        ]
    });
    let update = "ON CONFLICT (workspace, profile, channel, purpose) DO UPDATE SET granted = excluded.granted, \
                  at = excluded.at";
    insert_rows(tx, &TABLE, rows.collect(), update).await.map(|_| ())
}

/// Forgets profiles that became others.
pub async fn remove(tx: &DatabaseTransaction, workspace: &Workspace, profiles: &[ProfileId]) -> Result<()> {
    let table = Table { name: TABLE.name, columns: &TABLE.columns[..2] };
    let keys = profiles.iter().map(|it| vec![workspace.as_str().into(), it.0.into()]);
    delete_rows(tx, &table, keys.collect()).await.map(|_| ())
}

/// The consents of these profiles for a channel.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    channel: Channel,
    profiles: impl Iterator<Item = ProfileId>,
) -> Result<BTreeMap<(ProfileId, Purpose), (bool, Timestamp)>> {
    let mut values = vec![workspace.as_str().into(), channel.as_str().into()];
    let wanted = profiles.map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT profile, purpose, granted, at FROM consent WHERE workspace = $1 AND channel = $2 AND {condition}"
    );
    let mut found = BTreeMap::new();
    for row in query(db, "consents", &sql, values).await? {
        let purpose: String = column(&row, 1)?;
        if let Some(purpose) = Purpose::parse(&purpose) {
            let key = (ProfileId(column(&row, 0)?), purpose);
            found.insert(key, (column(&row, 2)?, from_micros(column(&row, 3)?)));
        }
    }
    Ok(found)
}
