//! Lifts as they were published, once a day.

use std::collections::BTreeMap;

use perennial_store::{Column, ConnectionTrait, Result, Table, insert_rows, query};
use perennial_types::Workspace;

use super::{get, workspace};
use crate::domain::stats::Lift;

const TABLE: Table = Table {
    name: "campaign_lift",
    columns: &[
        ("workspace", Column::Text),
        ("campaign", Column::Text),
        ("at", Column::BigInt),
        ("share", Column::Double),
        ("error", Column::Double),
    ],
};

/// How far back lifts are read, microseconds: a decision may be made late, but not later than that.
const REACH: i64 = 8 * 86_400_000_000;

/// Lifts of one workspace by campaign, each with the instant it was published at, oldest first.
pub type Published = BTreeMap<String, Vec<(i64, Lift)>>;

/// Publishes lifts as of `at`; those that are published stay as they are.
pub async fn publish(
    db: &impl ConnectionTrait,
    at: i64,
    lifts: impl IntoIterator<Item = (Workspace, String, Lift)>,
) -> Result<u64> {
    let row = |(workspace, campaign, lift): (Workspace, String, Lift)| {
        vec![workspace.as_str().into(), campaign.into(), at.into(), lift.share.into(), lift.error.into()]
    };
    let rows = lifts.into_iter().map(row).collect();
    insert_rows(db, &TABLE, rows, "ON CONFLICT (workspace, campaign, at) DO NOTHING").await
}

/// The lifts that decisions of these days may need, by workspace.
pub async fn in_force(db: &impl ConnectionTrait) -> Result<BTreeMap<Workspace, Published>> {
    let sql = "SELECT l.workspace, l.campaign, l.at, l.share, l.error FROM campaign_lift l \
               JOIN (SELECT workspace, campaign, MAX(at) AS latest FROM campaign_lift GROUP BY workspace, campaign) m \
               ON m.workspace = l.workspace AND m.campaign = l.campaign AND l.at > m.latest - $1 \
               ORDER BY l.workspace, l.campaign, l.at";
    let mut found: BTreeMap<Workspace, Published> = BTreeMap::new();
    for row in query(db, "lifts in force", sql, vec![REACH.into()]).await? {
        let lift = Lift { share: get(&row, "share")?, error: get(&row, "error")? };
        let by_campaign = found.entry(workspace(&row)?).or_default();
        by_campaign.entry(get(&row, "campaign")?).or_default().push((get(&row, "at")?, lift));
    }
    Ok(found)
}
