//! TLS between services: what this process shows, whom it trusts, and who a caller's certificate says it is.

use std::path::{Path, PathBuf};

use anyhow::Context;
use http::Extensions;
use serde::{Deserialize, Serialize};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{Certificate, CertificateDer, ClientTlsConfig, Identity, ServerTlsConfig};
use webpki::EndEntityCert;

/// TLS of the gRPC port and of calls to peers, with rustls. Files are PEM, read once, at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// If a file cannot be read, naming the setting.
    pub(crate) fn server(&self) -> anyhow::Result<Option<ServerTlsConfig>> {
        let Some(identity) = self.identity()? else { return Ok(None) };
        let mut tls = ServerTlsConfig::new().identity(identity);
        if let Some(ca) = &self.ca {
            // Holders of keys have no certificate: who shows none has to show a key.
            tls = tls.client_ca_root(Certificate::from_pem(read("ca", ca)?)).client_auth_optional(true);
        }
        Ok(Some(tls))
    }

    /// How peers are called; none in plain text.
    ///
    /// # Errors
    /// If a file cannot be read, naming the setting.
    pub(crate) fn client(&self) -> anyhow::Result<Option<ClientTlsConfig>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca", ca)?));
        Ok(Some(match self.identity()? {
            Some(identity) => tls.identity(identity),
            None => tls,
        }))
    }

    fn identity(&self) -> anyhow::Result<Option<Identity>> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        Ok(Some(Identity::from_pem(read("certificate", certificate)?, read("key", key)?)))
    }
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
