//! `perennial.access.v1`.

use perennial_api::access::v1 as wire;
use perennial_api::access::v1::access_service_server::AccessService;
use perennial_rpc::{Field, Invalid, Page, resource, time, workspace};
use perennial_types::Workspace;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Edge;
use crate::app::wire_scope;
use crate::domain::access::{KeyKind, Scope};
use crate::error::Error;
use crate::store::keys::KeptKey;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AccessService for Edge {
    async fn create_api_key(&self, request: Request<wire::CreateApiKeyRequest>) -> Answer<wire::ApiKey> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let mut invalid = Invalid::default();
        let scopes: Vec<Scope> =
            message.scopes.iter().enumerate().filter_map(|(n, it)| invalid.take(scope(n, *it))).collect();
        invalid.into_result()?;
        let minted = self.app.create_api_key(&workspace, &message.display_name, scopes).await?;
        let mut answer = shown(&workspace, minted.kept);
        answer.key = minted.key;
        Ok(Response::new(answer))
    }

    async fn list_api_keys(
        &self,
        request: Request<wire::ListApiKeysRequest>,
    ) -> Answer<wire::ListApiKeysResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListApiKeys", message.parent.as_str()];
        let page = Page::<Uuid>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.keys(&workspace, KeyKind::Api, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.id);
        let api_keys = found.into_iter().map(|it| shown(&workspace, it)).collect();
        Ok(Response::new(wire::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(&self, request: Request<wire::RevokeApiKeyRequest>) -> Answer<wire::ApiKey> {
        let message = request.into_inner();
        let (workspace, id) = resource("name", &message.name, "apiKeys")?;
        let revoked = self.app.revoke_key(&workspace, KeyKind::Api, id).await?;
        Ok(Response::new(shown(&workspace, revoked)))
    }

    async fn identify_key(
        &self,
        request: Request<wire::IdentifyKeyRequest>,
    ) -> Answer<wire::IdentifyKeyResponse> {
        let hash: [u8; 32] = request
            .into_inner()
            .hash
            .try_into()
            .map_err(|_| "is not 32 bytes: send the SHA-256 of the key")
            .field("hash")?;
        let found = self.app.identify_key(hash).await?.ok_or_else(|| Error::NoKey(String::new()))?;
        Ok(Response::new(wire::IdentifyKeyResponse {
            workspace: found.workspace.resource(),
            scopes: found.scopes.into_iter().map(told).collect(),
        }))
    }
}

fn scope(n: usize, number: i32) -> Result<Scope, Invalid> {
    Ok(match wire::Scope::try_from(number) {
        Ok(wire::Scope::Ingest) => Scope::Ingest,
        Ok(wire::Scope::Read) => Scope::Read,
        Ok(wire::Scope::Write) => Scope::Write,
        Ok(wire::Scope::Admin) => Scope::Admin,
        Ok(wire::Scope::Service | wire::Scope::Unspecified) | Err(_) => {
            let problem = "is not for keys: use SCOPE_INGEST, SCOPE_READ, SCOPE_WRITE or SCOPE_ADMIN";
            return Err(Invalid::new(format!("scopes[{n}]"), problem));
        }
    })
}

fn told(scope: Scope) -> i32 {
    wire_scope(scope).into()
}

fn shown(workspace: &Workspace, it: KeptKey) -> wire::ApiKey {
    wire::ApiKey {
        name: format!("{}/apiKeys/{}", workspace.resource(), it.id),
        display_name: it.display_name,
        key: String::new(),
        key_prefix: it.prefix,
        scopes: it.scopes.into_iter().map(told).collect(),
        create_time: Some(time::to_wire(it.created)),
        last_use_time: it.last_used.map(time::to_wire),
        revoke_time: it.revoked.map(time::to_wire),
    }
}
