//! What stays in the send ledger of a person who is erased: that something was sent, when, and what became of it.

use perennial_feed::{End, Erasing, Personal};
use perennial_store::{DatabaseTransaction, Result, column, execute, query};
use uuid::Uuid;

use super::{consents, messages};

/// Tables with rows about people. What was claimed and not handed over will never be.
pub const PERSONAL: [Personal; 2] = [
    Personal { table: &consents::TABLE, end: End::Delete },
    Personal {
        table: &messages::TABLE,
        end: End::Unlink {
            lose: "decision = NULL, address_hash = NULL, data = '{}', \
                   reason = CASE WHEN state = 'claimed' THEN 'ERASED' ELSE '' END, \
                   settled_at = CASE WHEN state = 'claimed' THEN claimed_at ELSE settled_at END, \
                   state = CASE WHEN state = 'claimed' THEN 'suppressed' ELSE state END",
            kept: "campaign, step, state and instants: how much was sent, and what became of it",
        },
    },
];

/// Takes from the person's messages what they were about. It may be the key of a cart or an order; the message's own id is
/// as good to tell one from another.
pub async fn erase(tx: &DatabaseTransaction, erasing: &Erasing) -> Result<()> {
    let key = || vec![erasing.workspace().as_str().into(), erasing.stand_in().0.into()];
    let sql = "SELECT id FROM message WHERE workspace = $1 AND profile = $2";
    for row in query(tx, "an erased person's messages", sql, key()).await? {
        let id: Uuid = column(&row, 0)?;
        let sql = "UPDATE message SET occurrence = $4 WHERE workspace = $1 AND profile = $2 AND id = $3";
        let values = key().into_iter().chain([id.into(), format!("erased {id}").into()]).collect();
        execute(tx, "an erased person's message", sql, values).await?;
    }
    Ok(())
}
