//! Write keys and API keys: made, listed, ended, and recognised.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use perennial_api::access::v1 as wire;
use perennial_rpc::Identity;
use perennial_store::Store;
use perennial_types::{Workspace, new_id};
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

use super::App;
use crate::domain::access::{KeyKind, Scope};
use crate::error::{Error, Result};
use crate::store::keys::{self, GoodKey, KeptKey};

/// The last use is noted to within this.
const NOTED: SignedDuration = SignedDuration::from_mins(10);

/// A new key, with the key itself.
pub struct Minted {
    /// What is kept of it.
    pub kept: KeptKey,
    /// The key: shown once.
    pub key: String,
}

impl App {
    /// Makes a write key of 256 random bits.
    ///
    /// # Errors
    /// If the database refuses, or the system gives no random numbers.
    pub async fn create_write_key(&self, workspace: &Workspace, display_name: &str) -> Result<Minted> {
        self.mint(workspace, KeyKind::Write, display_name, vec![Scope::Ingest]).await
    }

    /// Makes an API key of 256 random bits.
    ///
    /// # Errors
    /// If it may do nothing, the database refuses, or the system gives no random numbers.
    pub async fn create_api_key(
        &self,
        workspace: &Workspace,
        display_name: &str,
        scopes: Vec<Scope>,
    ) -> Result<Minted> {
        if scopes.is_empty() {
            return Err(Error::field("scopes", "is empty: say what the key may do"));
        }
        self.mint(workspace, KeyKind::Api, display_name, scopes).await
    }

    async fn mint(
        &self,
        workspace: &Workspace,
        kind: KeyKind,
        display_name: &str,
        scopes: Vec<Scope>,
    ) -> Result<Minted> {
        if display_name.chars().count() > 200 {
            return Err(Error::field("display_name", "has more than 200 characters: shorten it"));
        }
        let mut secret = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(|_| Error::Random)?;
        let key = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(secret));
        let now = self.clock.now();
        let kept = KeptKey {
            id: new_id(now),
            prefix: key.chars().take(8).collect(),
            display_name: display_name.to_owned(),
            scopes,
            created: now,
            last_used: None,
            revoked: None,
        };
        let tx = self.store.write().await?;
        keys::insert(&tx, workspace, kind, &kept, hash(&key)).await?;
        Store::commit(tx).await?;
        Ok(Minted { kept, key })
    }

    /// A page of keys of one kind, oldest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn keys(
        &self,
        workspace: &Workspace,
        kind: KeyKind,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<KeptKey>> {
        Ok(keys::list(self.store.read(), workspace, kind, after, limit).await?)
    }

    /// Ends a key; ending it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NoKey`] if there is none of this name; if the database refuses.
    pub async fn revoke_key(&self, workspace: &Workspace, kind: KeyKind, id: &str) -> Result<KeptKey> {
        let unknown = || Error::NoKey(id.chars().take(80).collect());
        let uuid = Uuid::parse_str(id).map_err(|_| unknown())?;
        let tx = self.store.write().await?;
        keys::revoke(&tx, workspace, kind, uuid, self.clock.now()).await?;
        let key = keys::find(&tx, workspace, kind, uuid).await?.ok_or_else(unknown)?;
        Store::commit(tx).await?;
        self.keys.forget();
        Ok(key)
    }

    /// The good key with this hash, if there is one, and notes its use. Who asks keeps the answer for a while.
    ///
    /// # Errors
    /// If the database refuses: that is no judgement on the key.
    pub async fn identify_key(&self, hash: [u8; 32]) -> Result<Option<GoodKey>> {
        let Some(found) = keys::good(self.store.read(), hash).await? else { return Ok(None) };
        let now = self.clock.now();
        if found.last_used.is_none_or(|it| now.duration_since(it) > NOTED) {
            let tx = self.store.write().await?;
            keys::used(&tx, &found, now).await?;
            Store::commit(tx).await?;
        }
        Ok(Some(found))
    }

    /// The workspace of the first of `candidates` that is a good key for sending events; none if none is.
    ///
    /// # Errors
    /// If the database refuses: that is no judgement on the key.
    pub async fn workspace_of_key(&self, candidates: &[&str]) -> Result<Option<Workspace>> {
        for key in candidates {
            if let Some(workspace) = self.good(key).await? {
                return Ok(Some(workspace));
            }
        }
        Ok(None)
    }

    async fn good(&self, key: &str) -> Result<Option<Workspace>> {
        let look_up = async |hash| {
            let found = self.identify_key(hash).await?;
            Ok(found.map(|it| Identity::Key {
                workspace: it.workspace,
                scopes: it.scopes.into_iter().map(wire_scope).collect(),
            }))
        };
        let holder = self.keys.holder(key, look_up).await.map_err(|error: Arc<Error>| Error::Keys(error))?;
        Ok(match holder {
            Some(it) if !it.may(wire::Scope::Ingest) => None,
            Some(Identity::Key { workspace, .. }) => Some(workspace),
            Some(Identity::Service) | None => None,
        })
    }
}

/// A scope, as callers and other services name it.
pub fn wire_scope(scope: Scope) -> wire::Scope {
    match scope {
        Scope::Ingest => wire::Scope::Ingest,
        Scope::Read => wire::Scope::Read,
        Scope::Write => wire::Scope::Write,
        Scope::Admin => wire::Scope::Admin,
    }
}

/// A key has 256 random bits, so a plain hash of it tells nothing.
fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
