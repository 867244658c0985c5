//! Who calls over the network: a service of this installation, by its token or certificate, or the holder of a key.

use std::sync::Arc;
use std::time::Duration;

use perennial_api::access::v1::access_service_client::AccessServiceClient;
use perennial_api::access::v1::{IdentifyKeyRequest, Scope};
use perennial_rpc::{Identity, Key, Transport};
use tonic::{Code, Request};

use crate::config::ServerConfig;
use crate::fault::EdgeFault;
use crate::tls::Presented;
use crate::{Keyring, Mesh, Secret};

/// What every key begins with: anything else is looked up nowhere.
const PREFIXES: [&str; 2] = ["ak_", "wk_"];
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
    keys: Keyring,
}

impl Guard {
    pub fn new(config: &ServerConfig, mesh: &Mesh, keys: Keyring) -> Self {
        Self {
            tokens: [config.token.clone(), config.previous_token.clone()],
            services: config.tls.services.clone(),
            is_open: config.token.is_empty() && !config.tls.is_mutual(),
            access: mesh.optional("perennial.access.v1.AccessService"),
            keys,
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
        if !PREFIXES.iter().any(|it| key.starts_with(it)) {
            return Err(EdgeFault::NoToken);
        }
        let holder = self.keys.holder(key, |hash| self.look_up(hash)).await;
        holder.map_err(|_: Arc<Away>| EdgeFault::KeysAway)?.ok_or(EdgeFault::NoToken)
    }

    async fn look_up(&self, hash: [u8; 32]) -> Result<Option<Identity>, Away> {
        let mut client = perennial_rpc::client!(AccessServiceClient::new(self.access.clone()));
        let mut request = Request::new(IdentifyKeyRequest { hash: hash.to_vec() });
        request.set_timeout(PATIENCE);
        match client.identify_key(request).await {
            Ok(answer) => {
                let found = answer.into_inner();
                let workspace = perennial_rpc::workspace("workspace", &found.workspace);
                let scopes = found.scopes().filter(|it| *it != Scope::Unspecified).collect();
                workspace.map(|workspace| Some(Identity::Key { workspace, scopes })).map_err(|_| Away)
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => {
                tracing::warn!(code = ?status.code(), error = status.message(), "keys cannot be looked up");
                Err(Away)
            }
        }
    }
}

/// Keys cannot be looked up now.
struct Away;
