//! Who calls over the network: a service of this installation, by its token or certificate, or the holder of a key.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use perennial_api::access::v1::access_service_client::AccessServiceClient;
use perennial_api::access::v1::{IdentifyKeyRequest, Scope};
use perennial_rpc::{Identity, Key, Transport};
use sha2::{Digest, Sha256};
use tonic::{Code, Request};

use crate::config::ServerConfig;
use crate::fault::EdgeFault;
use crate::tls::Presented;
use crate::{Mesh, Secret};

/// What every key begins with: anything else is looked up nowhere.
const PREFIXES: [&str; 2] = ["ak_", "wk_"];
/// How long a key that was good is taken for good: a revoked one lives on for as long.
const FRESH: Duration = Duration::from_secs(5);
/// Most keys kept in memory.
const MOST: u64 = 10_000;
/// How long a key may take to be looked up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Knows services by their token or certificate, and asks whose a key is.
#[derive(Debug)]
pub struct Guard {
    tokens: [Secret; 2],
    /// DNS names of services; if there are none, every certificate of our authority is one.
    services: Vec<String>,
    /// Nobody has to say who they are: neither a token nor mutual TLS is set.
    is_open: bool,
    access: Transport,
    known: Cache<[u8; 32], Identity>,
}

impl Guard {
    pub fn new(config: &ServerConfig, mesh: &Mesh) -> Self {
        Self {
            tokens: [config.token.clone(), config.previous_token.clone()],
            services: config.tls.services.clone(),
            is_open: config.token.is_empty() && !config.tls.is_mutual(),
            access: mesh.optional("perennial.access.v1.AccessService"),
            known: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
        }
    }

    /// Who shows this key, or else this certificate.
    ///
    /// # Errors
    /// [`EdgeFault::NoToken`] if it is nobody we know; [`EdgeFault::KeysAway`] if that cannot be found out now.
    pub async fn identify(
        &self,
        key: Option<&Key>,
        certificate: Option<Presented>,
    ) -> Result<Identity, EdgeFault> {
        let Some(key) = key else {
            let is_service = certificate.is_some_and(|it| it.is_one_of(&self.services));
            return if is_service || self.is_open { Ok(Identity::Service) } else { Err(EdgeFault::NoToken) };
        };
        let key = key.expose();
        if self.tokens.iter().any(|it| !it.is_empty() && it.is(key)) {
            return Ok(Identity::Service);
        }
        if key.len() > 200 || !PREFIXES.iter().any(|it| key.starts_with(it)) {
            return Err(EdgeFault::NoToken);
        }
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        // Those who show one key at the same time wait for one look-up.
        self.known.try_get_with(hash, self.look_up(hash)).await.map_err(|it: Arc<EdgeFault>| match &*it {
            EdgeFault::KeysAway => EdgeFault::KeysAway,
            _ => EdgeFault::NoToken,
        })
    }

    async fn look_up(&self, hash: [u8; 32]) -> Result<Identity, EdgeFault> {
        let mut client = perennial_rpc::client!(AccessServiceClient::new(self.access.clone()));
        let mut request = Request::new(IdentifyKeyRequest { hash: hash.to_vec() });
        request.set_timeout(PATIENCE);
        match client.identify_key(request).await {
            Ok(answer) => {
                let found = answer.into_inner();
                let workspace = perennial_rpc::workspace("workspace", &found.workspace);
                let scopes = found.scopes().filter(|it| *it != Scope::Unspecified).collect();
                workspace
                    .map(|workspace| Identity::Key { workspace, scopes })
                    .map_err(|_| EdgeFault::KeysAway)
            }
            Err(status) if status.code() == Code::NotFound => Err(EdgeFault::NoToken),
            Err(status) => {
                tracing::warn!(code = ?status.code(), error = status.message(), "keys cannot be looked up");
                Err(EdgeFault::KeysAway)
            }
        }
    }
}
