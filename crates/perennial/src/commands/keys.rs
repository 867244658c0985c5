//! `perennial keys`.

use perennial_api::ingestion::v1::{
    CreateWriteKeyRequest, ListWriteKeysRequest, RevokeWriteKeyRequest, WriteKey,
};
use serde_json::{Value, json};

use super::instant;
use crate::cli::Keys;
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// Makes, lists or ends write keys.
///
/// # Errors
/// If ingestion refuses.
pub async fn run(session: &Session, what: Keys) -> anyhow::Result<()> {
    match what {
        Keys::Create { name } => create(session, name).await,
        Keys::List => list(session).await,
        Keys::Revoke { key } => revoke(session, &key).await,
    }
}

async fn create(session: &Session, display_name: String) -> anyhow::Result<()> {
    let request = CreateWriteKeyRequest { parent: session.parent(), display_name };
    let key = session.ingestion().create_write_key(request).await.map_err(told)?.into_inner();
    if session.is_json() {
        return output::json(&shown(&key));
    }
    output::show(&key.key)?;
    output::say(&format!(
        "  key {} of workspace {}; it is not shown again",
        bare(&key.name),
        session.workspace
    ));
    Ok(())
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut keys = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListWriteKeysRequest { parent: session.parent(), page_size: 1_000, page_token };
        let page = session.ingestion().list_write_keys(request).await.map_err(told)?.into_inner();
        keys.extend(page.write_keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if session.is_json() {
        return output::json(&keys.iter().map(shown).collect::<Vec<_>>());
    }
    let left = Align::Left;
    let mut table = Table::new([
        ("ID", left),
        ("BEGINS", left),
        ("FOR", left),
        ("MADE", left),
        ("LAST USED", left),
        ("REVOKED", left),
    ]);
    for it in &keys {
        table.row([
            bare(&it.name).to_owned(),
            format!("{}…", it.key_prefix),
            it.display_name.clone(),
            instant(it.create_time.as_ref()),
            instant(it.last_use_time.as_ref()),
            instant(it.revoke_time.as_ref()),
        ]);
    }
    output::show(&table.to_string())?;
    Ok(())
}

async fn revoke(session: &Session, key: &str) -> anyhow::Result<()> {
    let request = RevokeWriteKeyRequest { name: session.name("writeKeys", bare(key)) };
    let key = session.ingestion().revoke_write_key(request).await.map_err(told)?.into_inner();
    if session.is_json() {
        return output::json(&shown(&key));
    }
    output::show(&format!("  revoked {} ({})", bare(&key.name), key.display_name))?;
    Ok(())
}

fn shown(it: &WriteKey) -> Value {
    let mut json = json!({
        "name": it.name, "display_name": it.display_name, "key_prefix": it.key_prefix,
        "create_time": instant(it.create_time.as_ref()),
    });
    if !it.key.is_empty() {
        json["key"] = it.key.as_str().into();
    }
    for (field, at) in [("last_use_time", &it.last_use_time), ("revoke_time", &it.revoke_time)] {
        if at.is_some() {
            json[field] = instant(at.as_ref()).into();
        }
    }
    json
}
