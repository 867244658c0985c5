//! What a person leaves behind in the books when they are erased: amounts and accounts, and nothing that leads to them.

use perennial_feed::{End, Erasing, Personal};
use perennial_store::{DatabaseTransaction, Result, column, execute, query};
use perennial_types::ProfileId;

use super::{coupons, merges};

const BOOKS: &str = "amounts, accounts and instants: the books have to balance";

/// Tables with rows about people.
pub const PERSONAL: [Personal; 2] = [
    Personal { table: &coupons::TABLE, end: End::Unlink { lose: "order_id = NULL", kept: BOOKS } },
    Personal { table: &merges::TABLE, end: End::Delete },
];

/// Gives the person's coupons other codes, which nobody has ever been told, wherever the books name them, and the accounts of
/// what the person was given another name. Their coupons stand for nobody by now.
pub async fn erase(tx: &DatabaseTransaction, erasing: &mut Erasing) -> Result<()> {
    let workspace = erasing.workspace().as_str().to_owned();
    let stand_in = erasing.stand_in();
    let sql = "SELECT code FROM coupon WHERE workspace = $1 AND profile = $2";
    let rows = query(tx, "an erased person's coupons", sql, vec![workspace.as_str().into(), stand_in.0.into()]);
    let codes: Vec<String> = rows.await?.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    for code in codes {
        let drawn = ProfileId::stand_in().0;
        let fresh = format!("ERASED-{}", drawn.simple());
        let key = || vec![workspace.as_str().into(), code.as_str().into(), fresh.as_str().into()];
        for table in ["ledger_entry", "ledger_posting"] {
            let sql = format!("UPDATE {table} SET coupon = $3 WHERE workspace = $1 AND coupon = $2");
            let rows = execute(tx, table, &sql, key()).await?;
            erasing.unlinked(table, rows, BOOKS);
        }
        // Each exception is of another order; without the order, its instant and a count tell them apart.
        let sql = "SELECT order_id FROM redemption_exception WHERE workspace = $1 AND code = $2";
        let orders = query(tx, "exceptions", sql, key().into_iter().take(2).collect()).await?;
        for (n, row) in orders.iter().enumerate() {
            let order: String = column(row, 0)?;
            let sql = "UPDATE redemption_exception SET code = $3, order_id = $5 \
                       WHERE workspace = $1 AND code = $2 AND order_id = $4";
            let values = key().into_iter().chain([order.into(), format!("erased {n}").into()]).collect();
            let rows = execute(tx, "an exception", sql, values).await?;
            erasing.unlinked("redemption_exception", rows, BOOKS);
        }
        let sql = "UPDATE coupon SET code = $3, issue_id = $4 WHERE workspace = $1 AND code = $2";
        execute(tx, "a coupon", sql, key().into_iter().chain([drawn.into()]).collect()).await?;
    }
    // `grants/{offer}/{profile}`: how many coupons of an offer the person was given.
    let (old, new) = (format!("/{}", erasing.profile()), format!("/{stand_in}"));
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
