//! TLS between services: what this process shows, whom it trusts, and who a caller's certificate says it is.

mod accept;
mod connect;
mod live;

pub use accept::incoming;
pub use connect::Connect;
pub use live::Live;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http::Extensions;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use webpki::EndEntityCert;

/// What both sides agree on speaking.
const H2: &[u8] = b"h2";

const NO_PAIR: &str = "server.tls: the certificate and the key are no pair";

/// TLS of the gRPC port and of calls to peers, with rustls. Files are PEM; new connections are made by what they hold then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate of this process, with its chain: shown to callers and to peers. Absent: the gRPC port speaks
    /// plain text.
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate.
    pub key: Option<PathBuf>,
    /// The authority that signs the certificates of our services: peers must show one of it, and callers with one are
    /// services. Absent: peers are not called over TLS, and callers are known by token or key alone.
    pub ca: Option<PathBuf>,
    /// DNS names of the certificates that count as services, such as `scoring.perennial.svc`. Empty: every certificate
    /// of the authority.
    pub services: Vec<String>,
    /// The files are looked at again when a connection is made, at most this often: they may be replaced in place.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub look_every: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        let look_every = Duration::from_secs(60);
        Self { certificate: None, key: None, ca: None, services: Vec::new(), look_every }
    }
}

impl TlsConfig {
    /// Whether callers are known by their certificates.
    pub(crate) fn is_mutual(&self) -> bool {
        self.ca.is_some() && self.certificate.is_some()
    }

    /// What does not fit together, in words for the one who sets it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.certificate.is_some() != self.key.is_some() {
            found.push("server.tls.certificate and server.tls.key go together: set both or none".to_owned());
        }
        if !self.services.is_empty() && self.ca.is_none() {
            found.push(
                "server.tls.services without server.tls.ca: set the authority that signs them".to_owned(),
            );
        }
        found
    }

    /// How the gRPC port is served; none in plain text.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be, naming the setting.
    pub(crate) fn server(&self) -> anyhow::Result<Option<Live<ServerConfig>>> {
        if self.certificate.is_none() || self.key.is_none() {
            return Ok(None);
        }
        let this = self.clone();
        Live::new(self.files(), self.look_every, move || this.server_config()).map(Some)
    }

    /// How peers are called; none in plain text.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be, naming the setting.
    pub(crate) fn client(&self) -> anyhow::Result<Option<Live<ClientConfig>>> {
        if self.ca.is_none() {
            return Ok(None);
        }
        let this = self.clone();
        Live::new(self.files(), self.look_every, move || this.client_config()).map(Some)
    }

    fn files(&self) -> Vec<PathBuf> {
        [&self.certificate, &self.key, &self.ca].into_iter().flatten().cloned().collect()
    }

    fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match self.authorities()? {
            None => builder.with_no_client_auth(),
            // Holders of keys have no certificate: who shows none has to show a key.
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
                    .allow_unauthenticated()
                    .build()
                    .context("server.tls.ca holds no authority")?,
            ),
        };
        let (chain, key) = self.identity()?.context("server.tls has no certificate")?;
        let mut config = builder.with_single_cert(chain, key).context(NO_PAIR)?;
        config.alpn_protocols.push(H2.to_vec());
        Ok(config)
    }

    fn client_config(&self) -> anyhow::Result<ClientConfig> {
        let roots = self.authorities()?.context("server.tls has no ca")?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).context(NO_PAIR)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(H2.to_vec());
        Ok(config)
    }

    fn authorities(&self) -> anyhow::Result<Option<RootCertStore>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca", ca)? {
            roots.add(certificate).context("server.tls.ca holds a certificate that is no authority's")?;
        }
        Ok(Some(roots))
    }

    fn identity(&self) -> anyhow::Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
        let (Some(certificate), Some(path)) = (&self.certificate, &self.key) else { return Ok(None) };
        let chain = certificates("certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read("key", path)?)
            .with_context(|| format!("server.tls.key = {:?} holds no private key in PEM", path.display()))?;
        Ok(Some((chain, key)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(setting: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let none = || format!("server.tls.{setting} = {:?} holds no certificate in PEM", path.display());
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&read(setting, path)?).collect::<Result<_, _>>().with_context(none)?;
    anyhow::ensure!(!found.is_empty(), none());
    Ok(found)
}

fn read(setting: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!("server.tls.{setting} = {:?} cannot be read: mend the path or its rights", path.display())
    })
}

/// The certificate that a caller showed, signed by our authority: the handshake saw to that.
pub struct Presented(CertificateDer<'static>);

impl Presented {
    /// The certificate of the connection that a request came over, if there was one.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let connection = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
        connection.peer_certs()?.first().cloned().map(Self)
    }

    /// Whether it is for one of these DNS names; for any, if there are none.
    pub fn is_one_of(&self, names: &[String]) -> bool {
        if names.is_empty() {
            return true;
        }
        let Ok(certificate) = EndEntityCert::try_from(&self.0) else { return false };
        certificate.valid_dns_names().any(|it| names.iter().any(|name| name.eq_ignore_ascii_case(it)))
    }
}
