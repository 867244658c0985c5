//! What a person leaves behind in the books when they are erased: amounts and accounts, and nothing that leads to them.

use perennial_feed::{End, Erasing, Personal};
use perennial_store::{Backend, Column, DatabaseTransaction, Result, Value, any_of, column, execute, query};
use perennial_types::ProfileId;

use super::{coupons, merges};

const BOOKS: &str = "amounts, accounts and instants: the books have to balance";

/// Tables with rows about people.
pub const PERSONAL: [Personal; 2] = [
    Personal { table: &coupons::TABLE, end: End::Unlink { lose: "order_id = NULL", kept: BOOKS } },
    Personal { table: &merges::TABLE, end: End::Delete },
];

/// Takes the rest of a person out of the books: the codes of their coupons, which stand for nobody by now; their orders,
/// wherever a coupon of whomever names one; and the accounts of what they were given.
pub async fn erase(
    tx: &DatabaseTransaction,
    erasing: &mut Erasing,
    orders: impl Iterator<Item = &str>,
) -> Result<()> {
    exceptions(tx, erasing, orders.map(Into::into).collect()).await?;
    codes(tx, erasing).await?;
    accounts(tx, erasing).await
}

/// Orders of theirs that broke a rule, with a code of their own, of somebody else, or one that never was.
async fn exceptions(tx: &DatabaseTransaction, erasing: &mut Erasing, orders: Vec<Value>) -> Result<()> {
    let workspace = erasing.workspace().as_str().to_owned();
    let mut values = vec![workspace.as_str().into()];
    let of_theirs = any_of(Backend::of(tx), "order_id", Column::Text, orders, &mut values);
    let sql = format!("UPDATE coupon SET order_id = NULL WHERE workspace = $1 AND {of_theirs}");
    execute(tx, "an erased person's orders", &sql, values.clone()).await?;
    let sql = format!(
        "SELECT code, order_id, CASE WHEN EXISTS (SELECT 1 FROM coupon c WHERE c.workspace = e.workspace \
         AND c.code = e.code) THEN 1 ELSE 0 END FROM redemption_exception e WHERE workspace = $1 AND {of_theirs}"
    );
    for row in query(tx, "an erased person's exceptions", &sql, values).await? {
        let (code, order): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        let is_coupon = if Backend::of(tx) == Backend::Sqlite {
            column::<i64>(&row, 2)? == 1
        } else {
            column::<i32>(&row, 2)? == 1
        };
        // What they typed may be anything.
        let kept = if is_coupon { code.clone() } else { "ERASED".to_owned() };
        let sql = "UPDATE redemption_exception SET code = $4, order_id = $5 \
                   WHERE workspace = $1 AND code = $2 AND order_id = $3";
        let values =
            vec![workspace.as_str().into(), code.into(), order.into(), kept.into(), drawn("erased").into()];
        let rows = execute(tx, "an erased person's exception", sql, values).await?;
        erasing.unlinked("redemption_exception", rows, BOOKS);
    }
    Ok(())
}

/// A name that nobody was ever told.
fn drawn(prefix: &str) -> String {
    format!("{prefix}-{}", ProfileId::stand_in().0.simple())
}

/// Gives their coupons other codes, wherever the books name them.
async fn codes(tx: &DatabaseTransaction, erasing: &mut Erasing) -> Result<()> {
    let workspace = erasing.workspace().as_str().to_owned();
    let sql = "SELECT code FROM coupon WHERE workspace = $1 AND profile = $2";
    let values = vec![workspace.as_str().into(), erasing.stand_in().0.into()];
    let rows = query(tx, "an erased person's coupons", sql, values).await?;
    let codes: Vec<String> = rows.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    for code in codes {
        let fresh = drawn("ERASED");
        let values = || vec![workspace.as_str().into(), code.as_str().into(), fresh.as_str().into()];
        for (table, name) in
            [("ledger_entry", "coupon"), ("ledger_posting", "coupon"), ("redemption_exception", "code")]
        {
            let sql = format!("UPDATE {table} SET {name} = $3 WHERE workspace = $1 AND {name} = $2");
            let rows = execute(tx, table, &sql, values()).await?;
            erasing.unlinked(table, rows, BOOKS);
        }
        // So that asking for it once more gives no code, either.
        let sql = "UPDATE coupon SET code = $3, issue_id = $4 WHERE workspace = $1 AND code = $2";
        let asked = ProfileId::stand_in().0.into();
        execute(tx, "a coupon", sql, values().into_iter().chain([asked]).collect()).await?;
    }
    Ok(())
}

/// `grants/{offer}/{profile}`: how many coupons of an offer they were given.
async fn accounts(tx: &DatabaseTransaction, erasing: &mut Erasing) -> Result<()> {
    let workspace = erasing.workspace().as_str().to_owned();
    let (old, new) = (format!("/{}", erasing.profile()), format!("/{}", erasing.stand_in()));
    for (table, name) in [("ledger_account", "name"), ("ledger_posting", "account")] {
        let sql = format!(
            "UPDATE {table} SET {name} = REPLACE({name}, $2, $3) WHERE workspace = $1 AND {name} LIKE 'grants/%' || $2"
        );
        let values = vec![workspace.as_str().into(), old.as_str().into(), new.as_str().into()];
        let rows = execute(tx, table, &sql, values).await?;
        erasing.unlinked(table, rows, BOOKS);
    }
    Ok(())
}
