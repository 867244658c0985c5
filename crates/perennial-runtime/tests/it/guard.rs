//! Who may call: services by token or certificate, holders of keys as far as their keys go.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perennial_api::access::v1::access_service_server::{AccessService, AccessServiceServer};
use perennial_api::access::v1::{
    ApiKey, CreateApiKeyRequest, IdentifyKeyRequest, IdentifyKeyResponse, ListApiKeysRequest,
    ListApiKeysResponse, RevokeApiKeyRequest, Scope,
};
use perennial_api::clock::v1::AdvanceClockRequest;
use perennial_runtime::{Config, Profile, Secret, Service, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use crate::harness::{CLOCK, Puppet, Running, config, puppet};

/// The keys there are, by their hash, unless they cannot be looked up.
#[derive(Clone, Default)]
struct Keys {
    known: Arc<HashMap<Vec<u8>, Vec<i32>>>,
    away: Arc<Mutex<bool>>,
    asked: Arc<AtomicUsize>,
}

impl Keys {
    fn of(keys: &[(&str, &[Scope])]) -> Self {
        let known = keys
            .iter()
            .map(|(key, scopes)| {
                (Sha256::digest(key).to_vec(), scopes.iter().map(|it| i32::from(*it)).collect())
            })
            .collect();
        Self { known: Arc::new(known), ..Self::default() }
    }

    fn service(&self) -> Service {
        Service::new("keys").grpc(perennial_rpc::server!(AccessServiceServer::new(self.clone())))
    }
}

#[tonic::async_trait]
impl AccessService for Keys {
    async fn create_api_key(&self, _: Request<CreateApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        perennial_rpc::workspace("parent", &request.get_ref().parent)?;
        Ok(Response::new(Default::default()))
    }

    async fn revoke_api_key(&self, _: Request<RevokeApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn identify_key(
        &self,
        request: Request<IdentifyKeyRequest>,
    ) -> Result<Response<IdentifyKeyResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.away.lock().unwrap() {
            return Err(perennial_rpc::timed_out("the database does not answer"));
        }
        let scopes = self.known.get(&request.into_inner().hash).cloned();
        let scopes = scopes.ok_or_else(|| Status::not_found("no such key"))?;
        Ok(Response::new(IdentifyKeyResponse { workspace: "workspaces/shop".to_owned(), scopes }))
    }
}

fn guarded() -> Config {
    let mut config = config();
    config.server.token = Secret::new("t0ken");
    config
}

/// What a caller who shows `key` hears when it lists the keys of a workspace: an admin's question.
async fn list(running: &Running, key: &str, workspace: &str) -> Result<(), Status> {
    let transport = running.remote().await;
    let mut client = perennial_api::access::v1::access_service_client::AccessServiceClient::new(transport);
    let parent = format!("workspaces/{workspace}");
    let mut request = Request::new(ListApiKeysRequest { parent, ..ListApiKeysRequest::default() });
    let shown = MetadataValue::try_from(format!("Bearer {key}")).unwrap();
    request.metadata_mut().insert("authorization", shown);
    client.list_api_keys(request).await.map(drop)
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_workspace_as_far_as_it_goes() {
    let keys = Keys::of(&[("ak_admin", &[Scope::Admin]), ("ak_reader", &[Scope::Read])]);
    let running = Running::start(guarded(), vec![keys.service(), Puppet::default().service()]).await;
    list(&running, "ak_admin", "shop").await.unwrap();
    list(&running, "t0ken", "anything").await.unwrap();

    let foreign = list(&running, "ak_admin", "other").await.unwrap_err();
    assert_eq!((foreign.code(), reason(&foreign)), (Code::NotFound, "WORKSPACE_NOT_FOUND".to_owned()));
    let denied = list(&running, "ak_reader", "shop").await.unwrap_err();
    assert_eq!((denied.code(), reason(&denied)), (Code::PermissionDenied, "SCOPE_REQUIRED".to_owned()));
    assert!(denied.message().contains("SCOPE_ADMIN"), "{denied}");
    for wrong in ["ak_unknown", "t0kem", "", "wk_admin"] {
        let unknown = list(&running, wrong, "shop").await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unauthenticated, "{wrong}");
    }

    // What services ask each other is for no key.
    let mut clock = puppet(running.remote().await);
    let mut request = Request::new(AdvanceClockRequest::default());
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer ak_admin"));
    assert_eq!(clock.advance_clock(request).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_looked_up_is_no_wrong_key() {
    let keys = Keys::of(&[("ak_admin", &[Scope::Admin])]);
    *keys.away.lock().unwrap() = true;
    let running = Running::start(guarded(), vec![keys.service()]).await;
    let away = list(&running, "ak_admin", "shop").await.unwrap_err();
    assert_eq!((away.code(), reason(&away)), (Code::Unavailable, "KEYS_UNAVAILABLE".to_owned()));
    assert!(away.get_error_details().retry_info().is_some());

    // Nothing of the outage is kept; and what was good a moment ago needs no further look.
    *keys.away.lock().unwrap() = false;
    list(&running, "ak_admin", "shop").await.unwrap();
    let asked = keys.asked.load(Ordering::SeqCst);
    *keys.away.lock().unwrap() = true;
    list(&running, "ak_admin", "shop").await.unwrap();
    assert_eq!(keys.asked.load(Ordering::SeqCst), asked);

    // Where no key service can be reached at all, keys are not wrong either.
    let alone = Running::start(guarded(), vec![Puppet::default().service()]).await;
    let mut clock = puppet(alone.remote().await);
    let mut request = Request::new(AdvanceClockRequest::default());
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer ak_admin"));
    assert_eq!(clock.advance_clock(request).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_before_is_taken_while_it_is_being_changed() {
    let mut changing = guarded();
    changing.server.previous_token = Secret::new("bef0re");
    let running = Running::start(changing, vec![Keys::default().service()]).await;
    list(&running, "bef0re", "shop").await.unwrap();
    list(&running, "t0ken", "shop").await.unwrap();
    let wrong = list(&running, "bef0r", "shop").await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
}

/// An authority, and files of certificates it signs.
struct Authority<'a> {
    folder: &'a Path,
    issuer: CertifiedIssuer<'static, KeyPair>,
    name: &'static str,
}

impl<'a> Authority<'a> {
    fn new(folder: &'a Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.ca")), issuer.pem()).unwrap();
        Self { folder, issuer, name }
    }

    /// What a process called `name` is set up with.
    fn certify(&self, name: &str) -> TlsConfig {
        let key = KeyPair::generate().unwrap();
        let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let path = |kind: &str| self.folder.join(format!("{}.{name}.{kind}", self.name));
        std::fs::write(path("crt"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        TlsConfig {
            certificate: Some(path("crt")),
            key: Some(path("key")),
            ca: Some(self.folder.join(format!("{}.ca", self.name))),
            look_every: Duration::ZERO,
            ..TlsConfig::default()
        }
    }
}

/// What a process with this identity hears from the one that serves the clock.
async fn called_by(tls: TlsConfig, served: &Running) -> Code {
    let mut config = config();
    config.server.tls = tls;
    config.peers.insert("clock".to_owned(), format!("https://{}", served.grpc));
    let host = perennial_runtime::Host::new(&config, &[]).unwrap();
    let mut clock = puppet(host.mesh.transport(CLOCK));
    clock.advance_clock(AdvanceClockRequest::default()).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_know_each_other_by_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let theirs = Authority::new(folder.path(), "theirs");
    let mut serving = config();
    serving.server.tls = ours.certify("clock");
    serving.server.tls.services = vec!["scoring".to_owned()];
    let host = perennial_runtime::Host::new(&serving, &[]).unwrap();
    let running = Running::start_on(serving, host, vec![Puppet::default().service()]).await;

    // The clock itself refuses the empty request: the caller was let in.
    assert_eq!(called_by(ours.certify("scoring"), &running).await, Code::InvalidArgument);
    // The right authority, and a name that is none of the services.
    assert_eq!(called_by(ours.certify("printer"), &running).await, Code::Unauthenticated);
    // Another authority's certificate does not pass the handshake, whatever it says.
    let mut stranger = theirs.certify("scoring");
    stranger.ca = ours.certify("scoring").ca;
    let refused = called_by(stranger, &running).await;
    // Which code depends on how far the caller had come when it was hung up on.
    assert!(matches!(refused, Code::Unavailable | Code::Unknown | Code::Cancelled), "{refused:?}");
    // No certificate and no key.
    let mut nobody = ours.certify("nobody");
    (nobody.certificate, nobody.key) = (None, None);
    assert_eq!(called_by(nobody, &running).await, Code::Unauthenticated);
}

/// Writes other certificates where those before were, as who renews them does.
fn renew(before: &TlsConfig, after: &TlsConfig) {
    let files = |it: &TlsConfig| [&it.certificate, &it.key, &it.ca].map(|it| it.clone().unwrap());
    for (before, after) in files(before).iter().zip(files(after)) {
        std::fs::copy(after, before).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_are_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|it| Authority::new(folder.path(), it));
    let mut serving = config();
    serving.server.tls = old.certify("clock");
    let host = perennial_runtime::Host::new(&serving, &[]).unwrap();
    let running = Running::start_on(serving.clone(), host, vec![Puppet::default().service()]).await;
    assert_eq!(called_by(old.certify("scoring"), &running).await, Code::InvalidArgument);

    // A caller that started with certificates of the old authority, and calls only after all were renewed.
    let mut calling = config();
    calling.server.tls = old.certify("campaign");
    calling.peers.insert("clock".to_owned(), format!("https://{}", running.grpc));
    let host = perennial_runtime::Host::new(&calling, &[]).unwrap();
    let kept = old.certify("scoring");
    renew(&serving.server.tls, &new.certify("clock"));
    renew(&calling.server.tls, &new.certify("campaign"));
    let answer = puppet(host.mesh.transport(CLOCK)).advance_clock(AdvanceClockRequest::default()).await;
    assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(called_by(new.certify("scoring"), &running).await, Code::InvalidArgument);
    // Who shows one of the old authority is not known any more.
    let refused = called_by(kept.clone(), &running).await;
    assert!(matches!(refused, Code::Unavailable | Code::Unknown | Code::Cancelled), "{refused:?}");

    // Files that are no pair, or none at all, change nothing: they are looked at while they are being replaced.
    let mut torn = new.certify("clock");
    torn.key = kept.key;
    renew(&serving.server.tls, &torn);
    assert_eq!(called_by(new.certify("scoring"), &running).await, Code::InvalidArgument);
    std::fs::remove_file(serving.server.tls.certificate.as_ref().unwrap()).unwrap();
    assert_eq!(called_by(new.certify("scoring"), &running).await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_or_unreadable_setting_is_refused_by_name() {
    let mut config = Config { profile: Profile::Production, ..config() };
    let refused = config.check(&[]).unwrap_err().to_string();
    assert!(refused.contains("server.token"), "{refused}");
    config.server.tls.ca = Some("/nowhere/ca.crt".into());
    config.server.tls.certificate = Some("/nowhere/tls.crt".into());
    let refused = config.check(&[]).unwrap_err().to_string();
    assert!(refused.contains("server.tls.key"), "{refused}");
    config.server.tls.key = Some("/nowhere/tls.key".into());
    config.check(&[]).unwrap();
    let refused = perennial_runtime::Host::new(&config, &[]).err().unwrap().to_string();
    assert!(refused.contains("server.tls.ca") && refused.contains("/nowhere/ca.crt"), "{refused}");
}
