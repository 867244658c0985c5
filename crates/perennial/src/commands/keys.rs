//! `perennial keys`.

use perennial_api::access::v1::{
    ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest, Scope as WireScope,
};
use perennial_api::ingestion::v1::{
    CreateWriteKeyRequest, ListWriteKeysRequest, RevokeWriteKeyRequest, WriteKey,
};
use serde_json::{Value, json};
use tonic::Code;

use super::instant;
use crate::cli::{Keys, Scope};
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// Makes, lists or ends keys.
///
/// # Errors
/// If ingestion refuses.
pub async fn run(session: &Session, what: Keys) -> anyhow::Result<()> {
    match what {
        Keys::Create { name, scopes } => create(session, name, &scopes).await,
        Keys::List => list(session).await,
        Keys::Revoke { key } => revoke(session, &key).await,
    }
}

async fn create(session: &Session, display_name: String, scopes: &[Scope]) -> anyhow::Result<()> {
    let parent = session.parent();
    let key = if scopes.is_empty() {
        let request = CreateWriteKeyRequest { parent, display_name };
        of_write(session.ingestion().create_write_key(request).await.map_err(told)?.into_inner())
    } else {
        let scopes = scopes.iter().map(|it| wire(*it).into()).collect();
        let request = CreateApiKeyRequest { parent, display_name, scopes };
        session.access().create_api_key(request).await.map_err(told)?.into_inner()
    };
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
        keys.extend(page.write_keys.into_iter().map(of_write));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    loop {
        let request = ListApiKeysRequest { parent: session.parent(), page_size: 1_000, page_token };
        let page = session.access().list_api_keys(request).await.map_err(told)?.into_inner();
        keys.extend(page.api_keys);
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
        ("MAY", left),
        ("FOR", left),
        ("MADE", left),
        ("LAST USED", left),
        ("REVOKED", left),
    ]);
    for it in &keys {
        table.row([
            bare(&it.name).to_owned(),
            format!("{}…", it.key_prefix),
            scopes(it).join(", "),
            it.display_name.clone(),
            instant(it.create_time.as_ref()),
            instant(it.last_use_time.as_ref()),
            instant(it.revoke_time.as_ref()),
        ]);
    }
    output::show(&table.to_string())?;
    Ok(())
}

/// Ends a key of either kind.
async fn revoke(session: &Session, key: &str) -> anyhow::Result<()> {
    let request = RevokeWriteKeyRequest { name: session.name("writeKeys", bare(key)) };
    let key = match session.ingestion().revoke_write_key(request).await {
        Err(status) if status.code() == Code::NotFound => {
            let request = RevokeApiKeyRequest { name: session.name("apiKeys", bare(key)) };
            session.access().revoke_api_key(request).await.map_err(told)?.into_inner()
        }
        answer => of_write(answer.map_err(told)?.into_inner()),
    };
    if session.is_json() {
        return output::json(&shown(&key));
    }
    output::show(&format!("  revoked {} ({})", bare(&key.name), key.display_name))?;
    Ok(())
}

/// A write key, as the key that may only ingest that it is.
fn of_write(it: WriteKey) -> ApiKey {
    ApiKey {
        name: it.name,
        display_name: it.display_name,
        key: it.key,
        key_prefix: it.key_prefix,
        scopes: vec![WireScope::Ingest.into()],
        create_time: it.create_time,
        last_use_time: it.last_use_time,
        revoke_time: it.revoke_time,
    }
}

fn wire(scope: Scope) -> WireScope {
    match scope {
        Scope::Ingest => WireScope::Ingest,
        Scope::Read => WireScope::Read,
        Scope::Write => WireScope::Write,
        Scope::Admin => WireScope::Admin,
    }
}

fn scopes(key: &ApiKey) -> Vec<String> {
    key.scopes().map(|it| it.as_str_name().trim_start_matches("SCOPE_").to_lowercase()).collect()
}

fn shown(it: &ApiKey) -> Value {
    let mut json = json!({
        "name": it.name, "display_name": it.display_name, "key_prefix": it.key_prefix, "scopes": scopes(it),
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
