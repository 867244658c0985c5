//! Accounts, entries and postings.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, Result, Table, any_of, column, insert_rows, query,
};
use perennial_types::{Workspace, micros};

use super::{corrupt, for_update};
use crate::domain::ledger::{Account, Books};

const ACCOUNTS: Table = Table {
    name: "ledger_account",
    columns: &[
        ("workspace", Column::Text),
        ("name", Column::Text),
        ("unit", Column::Text),
        ("balance", Column::BigInt),
        ("floor", Column::BigInt),
    ],
};

const ENTRIES: Table = Table {
    name: "ledger_entry",
    columns: &[
        ("workspace", Column::Text),
        ("coupon", Column::Text),
        ("sequence", Column::BigInt),
        ("kind", Column::Text),
        ("at", Column::BigInt),
    ],
};

const POSTINGS: Table = Table {
    name: "ledger_posting",
    columns: &[
        ("workspace", Column::Text),
        ("coupon", Column::Text),
        ("sequence", Column::BigInt),
        ("account", Column::Text),
        ("amount", Column::BigInt),
    ],
};

/// Opens the books on these accounts (name → unit, floor): makes those that are missing, gives them the floor of
/// today's definition, and locks them in order of name, together with `others`, which are there and stay as they are.
pub async fn open(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    accounts: BTreeMap<String, (String, Option<i64>)>,
    others: BTreeSet<String>,
) -> Result<Books> {
    if accounts.is_empty() {
        return Ok(Books::default());
    }
    let rows = accounts.iter().map(|(name, (unit, floor))| {
        vec![
            workspace.as_str().into(),
            name.as_str().into(),
            unit.as_str().into(),
            0_i64.into(),
            (*floor).into(),
        ]
    });
    let touch = "ON CONFLICT (workspace, name) DO UPDATE SET floor = excluded.floor \
                 WHERE ledger_account.floor IS DISTINCT FROM excluded.floor";
    insert_rows(tx, &ACCOUNTS, rows.collect(), touch).await?;
    let mut values = vec![workspace.as_str().into()];
    let names = accounts.keys().chain(&others).map(|it| it.as_str().into()).collect();
    let condition = any_of(Backend::of(tx), "name", Column::Text, names, &mut values);
    let sql = format!(
        "SELECT name, unit, balance, floor FROM ledger_account WHERE workspace = $1 AND {condition} ORDER BY name{}",
        for_update(tx)
    );
    let mut opened = BTreeMap::new();
    for row in query(tx, "accounts", &sql, values).await? {
        let account = Account { unit: column(&row, 1)?, balance: column(&row, 2)?, floor: column(&row, 3)? };
        opened.insert(column(&row, 0)?, account);
    }
    Ok(Books::open(opened))
}

/// Writes what was posted. The floor is checked again by the statement that moves the balance.
pub async fn close(tx: &DatabaseTransaction, workspace: &Workspace, books: Books) -> Result<()> {
    let (entries, changes) = books.close();
    let rows: Vec<_> = changes
        .iter()
        .filter(|(_, change)| **change != 0)
        .map(|(name, change)| {
            let floor: Option<i64> = None;
            vec![workspace.as_str().into(), name.as_str().into(), "".into(), (*change).into(), floor.into()]
        })
        .collect();
    let expected = rows.len() as u64;
    let post = "ON CONFLICT (workspace, name) DO UPDATE SET balance = ledger_account.balance + excluded.balance \
                WHERE excluded.balance > 0 OR ledger_account.floor IS NULL \
                OR ledger_account.balance + excluded.balance >= ledger_account.floor";
    let posted = insert_rows(tx, &ACCOUNTS, rows, post).await?;
    if posted != expected {
        return Err(corrupt("ledger account", "a balance moved while it was locked"));
    }
    let (mut rows, mut postings) = (Vec::new(), Vec::new());
    for entry in entries {
        rows.push(vec![
            workspace.as_str().into(),
            entry.coupon.as_str().into(),
            entry.sequence.into(),
            entry.kind.into(),
            micros(entry.at).into(),
        ]);
        for (account, amount) in entry.postings {
            postings.push(vec![
                workspace.as_str().into(),
                entry.coupon.as_str().into(),
                entry.sequence.into(),
                account.into(),
                amount.into(),
            ]);
        }
    }
    insert_rows(tx, &ENTRIES, rows, "").await?;
    insert_rows(tx, &POSTINGS, postings, "").await?;
    Ok(())
}

/// Balances of the accounts whose names begin with one of the kinds, such as `spent`.
pub async fn balances(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<BTreeMap<String, (String, i64)>> {
    let sql = "SELECT name, unit, balance FROM ledger_account WHERE workspace = $1 AND \
               (name LIKE 'promised/%' OR name LIKE 'spent/%' OR name LIKE 'excess/%') ORDER BY name";
    let mut found = BTreeMap::new();
    for row in query(db, "balances", sql, vec![workspace.as_str().into()]).await? {
        found.insert(column(&row, 0)?, (column(&row, 1)?, column(&row, 2)?));
    }
    Ok(found)
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Accounts compared.
    pub accounts: i64,
    /// Entries added up.
    pub entries: i64,
    /// What does not agree, at most 200.
    pub problems: Vec<String>,
}

/// Recomputes every balance from its postings, every entry's sum, and what coupons say is promised and spent.
pub async fn audit(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Audit> {
    let ws = || vec![workspace.as_str().into()];
    let mut audit = Audit::default();
    for (sql, count) in [
        ("SELECT COUNT(*) FROM ledger_account WHERE workspace = $1", &mut audit.accounts),
        ("SELECT COUNT(*) FROM ledger_entry WHERE workspace = $1", &mut audit.entries),
    ] {
        if let Some(row) = query(db, "an audit", sql, ws()).await?.first() {
            *count = column(row, 0)?;
        }
    }
    // Postings are added up once, and not looked for account by account.
    let sql = "SELECT a.name, a.balance, COALESCE(p.sum, 0) FROM ledger_account a LEFT JOIN \
               (SELECT account, CAST(SUM(amount) AS BIGINT) AS sum FROM ledger_posting WHERE workspace = $1 \
               GROUP BY account) p ON p.account = a.name \
               WHERE a.workspace = $1 AND a.balance <> COALESCE(p.sum, 0) ORDER BY a.name LIMIT 100";
    for row in query(db, "an audit", sql, ws()).await? {
        let (name, balance, sum): (String, i64, i64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        audit.problems.push(format!("account {name}: balance {balance}, but its postings add up to {sum}"));
    }
    let sql = "SELECT p.coupon, p.sequence, a.unit, CAST(SUM(p.amount) AS BIGINT) FROM ledger_posting p \
               JOIN ledger_account a ON a.workspace = p.workspace AND a.name = p.account \
               WHERE p.workspace = $1 GROUP BY p.coupon, p.sequence, a.unit HAVING SUM(p.amount) <> 0 \
               ORDER BY p.coupon, p.sequence LIMIT 100";
    for row in query(db, "an audit", sql, ws()).await? {
        let (coupon, unit): (String, String) = (column(&row, 0)?, column(&row, 2)?);
        let (sequence, sum): (i64, i64) = (column(&row, 1)?, column(&row, 3)?);
        audit
            .problems
            .push(format!("entry {sequence} of coupon {coupon}: its {unit} postings add up to {sum}"));
    }
    let sql = "SELECT c.offer, CAST(SUM(CASE WHEN c.state = 'redeemed' THEN 0 ELSE c.promised END) AS BIGINT), \
               CAST(SUM(COALESCE(c.discount, 0)) AS BIGINT) + COALESCE((SELECT CAST(SUM(e.cost) AS BIGINT) \
               FROM redemption_exception e WHERE e.workspace = $1 AND e.offer = c.offer AND e.apart AND NOT e.undone), 0) \
               FROM coupon c WHERE c.workspace = $1 GROUP BY c.offer ORDER BY c.offer";
    let balances = balances(db, workspace).await?;
    for row in query(db, "an audit", sql, ws()).await? {
        let offer: String = column(&row, 0)?;
        for (kind, expected) in [("promised", column::<i64>(&row, 1)?), ("spent", column::<i64>(&row, 2)?)] {
            let booked = balances.get(&format!("{kind}/{offer}")).map_or(0, |(_, balance)| *balance);
            if booked != expected {
                audit
                    .problems
                    .push(format!("offer {offer}: {kind} {booked}, but its coupons say {expected}"));
            }
        }
    }
    Ok(audit)
}
