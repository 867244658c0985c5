//! Coupons.

use std::collections::BTreeMap;

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, Result, Table, Value, any_of, column,
    insert_rows, query, query_one,
};
use perennial_types::{Currency, ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::{corrupt, for_update};
use crate::domain::coupon::{Coupon, State};

pub const TABLE: Table = Table {
    name: "coupon",
    columns: &[
        ("workspace", Column::Text),
        ("code", Column::Text),
        ("issue_id", Column::Uuid),
        ("offer", Column::Text),
        ("profile", Column::Uuid),
        ("campaign", Column::Text),
        ("state", Column::Text),
        ("promised", Column::BigInt),
        ("currency", Column::Text),
        ("budget", Column::Text),
        ("issued_at", Column::BigInt),
        ("valid_from", Column::BigInt),
        ("expires_at", Column::BigInt),
        ("order_id", Column::Text),
        ("reserved_until", Column::BigInt),
        ("discount", Column::BigInt),
        ("excess", Column::BigInt),
        ("used", Column::Bool),
        ("sequence", Column::BigInt),
        ("due", Column::BigInt),
        ("allowance", Column::Text),
    ],
};

const COLUMNS: &str = "code, issue_id, offer, profile, campaign, state, promised, currency, budget, issued_at, \
                       valid_from, expires_at, order_id, reserved_until, discount, excess, used, sequence, allowance";

fn read(row: &QueryResult) -> Result<Coupon> {
    let (state, currency): (String, String) = (column(row, 5)?, column(row, 7)?);
    Ok(Coupon {
        code: column(row, 0)?,
        issue_id: column(row, 1)?,
        offer: column(row, 2)?,
        profile: ProfileId(column(row, 3)?),
        campaign: column(row, 4)?,
        state: State::parse(&state).ok_or_else(|| corrupt("coupon state", &state))?,
        promised: column(row, 6)?,
        currency: Currency::parse(&currency).map_err(|it| corrupt("currency", it))?,
        budget: column(row, 8)?,
        issued_at: from_micros(column(row, 9)?),
        valid_from: from_micros(column(row, 10)?),
        expires_at: from_micros(column(row, 11)?),
        order: column(row, 12)?,
        reserved_until: column::<Option<i64>>(row, 13)?.map(from_micros),
        discount: column(row, 14)?,
        excess: column(row, 15)?,
        used: column(row, 16)?,
        sequence: column(row, 17)?,
        allowance: column(row, 18)?,
    })
}

fn write(workspace: &Workspace, it: &Coupon) -> Vec<Value> {
    vec![
        workspace.as_str().into(),
        it.code.as_str().into(),
        it.issue_id.into(),
        it.offer.as_str().into(),
        it.profile.0.into(),
        it.campaign.as_str().into(),
        it.state.as_str().into(),
        it.promised.into(),
        it.currency.code().into(),
        it.budget.as_str().into(),
        micros(it.issued_at).into(),
        micros(it.valid_from).into(),
        micros(it.expires_at).into(),
        it.order.clone().into(),
        it.reserved_until.map(micros).into(),
        it.discount.into(),
        it.excess.into(),
        it.used.into(),
        it.sequence.into(),
        it.due().map(micros).into(),
        it.allowance.as_str().into(),
    ]
}

/// Adds new coupons; answers how many: fewer than given if somebody else issued one of them just now.
pub async fn insert(tx: &DatabaseTransaction, workspace: &Workspace, coupons: &[Coupon]) -> Result<u64> {
    let rows = coupons.iter().map(|it| write(workspace, it)).collect();
    insert_rows(tx, &TABLE, rows, "ON CONFLICT DO NOTHING").await
}

/// Keeps what changed of coupons that are there.
pub async fn update<'a>(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    coupons: impl Iterator<Item = &'a Coupon>,
) -> Result<()> {
    let rows = coupons.map(|it| write(workspace, it)).collect();
    let update = "ON CONFLICT (workspace, code) DO UPDATE SET state = excluded.state, promised = excluded.promised, \
                  order_id = excluded.order_id, reserved_until = excluded.reserved_until, \
                  discount = excluded.discount, excess = excluded.excess, used = excluded.used, \
                  sequence = excluded.sequence, due = excluded.due";
    insert_rows(tx, &TABLE, rows, update).await.map(|_| ())
}

/// The coupons of these issue ids.
pub async fn by_issue(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, Coupon>> {
    let mut values = vec![workspace.as_str().into()];
    let condition =
        any_of(Backend::of(db), "issue_id", Column::Uuid, ids.map(Into::into).collect(), &mut values);
    let sql = format!("SELECT {COLUMNS} FROM coupon WHERE workspace = $1 AND {condition}");
    let rows = query(db, "coupons", &sql, values).await?;
    rows.iter().map(|row| read(row).map(|it| (it.issue_id, it))).collect()
}

/// Locks the coupons of these codes, and those that these orders reserved or used; in order of code.
pub async fn lock(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    codes: impl Iterator<Item = &str>,
    orders: impl Iterator<Item = &str>,
) -> Result<BTreeMap<String, Coupon>> {
    let mut values = vec![workspace.as_str().into()];
    let backend = Backend::of(tx);
    let by_code = any_of(backend, "code", Column::Text, codes.map(Into::into).collect(), &mut values);
    let by_order = any_of(backend, "order_id", Column::Text, orders.map(Into::into).collect(), &mut values);
    let sql = format!(
        "SELECT {COLUMNS} FROM coupon WHERE workspace = $1 AND ({by_code} OR {by_order}) ORDER BY code{}",
        for_update(tx)
    );
    let rows = query(tx, "coupons", &sql, values).await?;
    rows.iter().map(|row| read(row).map(|it| (it.code.clone(), it))).collect()
}

/// The coupon of this code.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace, code: &str) -> Result<Option<Coupon>> {
    let sql = format!("SELECT {COLUMNS} FROM coupon WHERE workspace = $1 AND code = $2");
    let row = query_one(db, "a coupon", &sql, vec![workspace.as_str().into(), code.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// What a list of coupons is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this profile.
    pub profile: Option<ProfileId>,
    /// Only of this offer.
    pub offer: Option<String>,
    /// Only in this state.
    pub state: Option<State>,
}

/// Coupons before `before` (issue instant in microseconds, code), newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    filter: &Filter,
    before: Option<(i64, String)>,
    limit: u64,
) -> Result<Vec<Coupon>> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let mut sql = format!("SELECT {COLUMNS} FROM coupon WHERE workspace = $1");
    let mut narrow = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} = ${}", values.len()));
    };
    if let Some(it) = filter.profile {
        narrow("profile", it.0.into());
    }
    if let Some(it) = &filter.offer {
        narrow("offer", it.as_str().into());
    }
    if let Some(it) = filter.state {
        narrow("state", it.as_str().into());
    }
    if let Some((at, code)) = before {
        values.extend([at.into(), code.into()]);
        sql.push_str(&format!(" AND (issued_at, code) < (${}, ${})", values.len() - 1, values.len()));
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" ORDER BY issued_at DESC, code DESC LIMIT ${}", values.len()));
    query(db, "coupons", &sql, values).await?.iter().map(read).collect()
}

/// Coupons to which something happens by itself at or before `now`, earliest first.
pub async fn due(
    db: &impl ConnectionTrait,
    now: Timestamp,
    limit: i64,
) -> Result<BTreeMap<Workspace, Vec<String>>> {
    let sql = "SELECT workspace, code FROM coupon WHERE due <= $1 ORDER BY due, workspace, code LIMIT $2";
    let mut found: BTreeMap<Workspace, Vec<String>> = BTreeMap::new();
    for row in query(db, "coupons that end", sql, vec![micros(now).into(), limit.into()]).await? {
        let name: String = column(&row, 0)?;
        let workspace = Workspace::parse(&name).map_err(|it| corrupt("workspace", it))?;
        found.entry(workspace).or_default().push(column(&row, 1)?);
    }
    Ok(found)
}

/// When the next of them is due.
pub async fn next_due(db: &impl ConnectionTrait) -> Result<Option<Timestamp>> {
    let sql = "SELECT due FROM coupon WHERE due IS NOT NULL ORDER BY due LIMIT 1";
    let row = query_one(db, "the next coupon that ends", sql, vec![]).await?;
    row.map(|it| column(&it, 0).map(from_micros)).transpose()
}

/// How many coupons of each offer are in each state, and what is promised and spent on them.
pub async fn totals(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<Vec<(String, State, i64, i64, i64)>> {
    let sql = "SELECT offer, state, COUNT(*), CAST(SUM(promised) AS BIGINT), \
               CAST(SUM(COALESCE(discount, 0)) AS BIGINT) FROM coupon WHERE workspace = $1 \
               GROUP BY offer, state ORDER BY offer, state";
    let rows = query(db, "coupon totals", sql, vec![workspace.as_str().into()]).await?;
    rows.iter()
        .map(|row| {
            let state: String = column(row, 1)?;
            let state = State::parse(&state).ok_or_else(|| corrupt("coupon state", &state))?;
            Ok((column(row, 0)?, state, column(row, 2)?, column(row, 3)?, column(row, 4)?))
        })
        .collect()
}
