//! Calls to peers in TLS: each connection by the certificate and the authority that are in force when it is made.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::Service;

use super::{H2, Live};

/// The port of an address that names none.
const PORT: u16 = 443;

/// Connects to peers, and shakes hands with them.
#[derive(Clone)]
pub struct Connect(Arc<Live<ClientConfig>>);

impl Connect {
    pub fn new(tls: Arc<Live<ClientConfig>>) -> Self {
        Self(tls)
    }
}

impl Service<Uri> for Connect {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connector = TlsConnector::from(self.0.current());
        Box::pin(async move {
            // An address of version 6 stands in brackets there.
            let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let stream = TcpStream::connect((host.as_str(), address.port_u16().unwrap_or(PORT))).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let stream = connector.connect(name, stream).await?;
            if stream.get_ref().1.alpn_protocol() != Some(H2) {
                return Err(io::Error::other("it speaks no HTTP/2: is this the gRPC port of a service?"));
            }
            Ok(TokioIo::new(stream))
        })
    }
}
