//! Addresses not to be written to, by their keyed hash.

use std::collections::BTreeMap;

use perennial_store::{Backend, Column, ConnectionTrait, Result, any_of, column, execute, query};
use perennial_types::{Channel, Timestamp, Workspace, from_micros, micros};

/// What is suppressed for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Everything, not only marketing.
    pub everything: bool,
    /// Since when.
    pub at: Timestamp,
}

/// Suppresses an address. What is suppressed for everything stays so.
pub async fn add(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    channel: Channel,
    address_hash: &str,
    reason: &str,
    it: Suppression,
) -> Result<()> {
    let sql = "INSERT INTO suppression (workspace, channel, address_hash, everything, reason, at) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace, channel, address_hash) DO UPDATE SET \
               everything = suppression.everything OR excluded.everything, \
               reason = CASE WHEN suppression.everything THEN suppression.reason ELSE excluded.reason END, \
               at = excluded.at";
    let values = vec![
        workspace.as_str().into(),
        channel.as_str().into(),
        address_hash.into(),
        it.everything.into(),
        reason.into(),
        micros(it.at).into(),
    ];
    execute(db, "a suppression", sql, values).await.map(|_| ())
}

/// What is suppressed for these addresses.
pub async fn find<'a>(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    channel: Channel,
    hashes: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Suppression>> {
    let mut values = vec![workspace.as_str().into(), channel.as_str().into()];
    let condition =
        any_of(Backend::of(db), "address_hash", Column::Text, hashes.map(Into::into).collect(), &mut values);
    let sql = format!(
        "SELECT address_hash, everything, at FROM suppression WHERE workspace = $1 AND channel = $2 AND {condition}"
    );
    let rows = query(db, "suppressions", &sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok((
                column(row, 0)?,
                Suppression { everything: column(row, 1)?, at: from_micros(column(row, 2)?) },
            ))
        })
        .collect()
}
