//! The gRPC port in TLS: each connection by the certificate that is in force when it is made.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::Live;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at a time; who comes next waits to be accepted.
const MOST: usize = 1_024;
/// After a failure to accept, which is most often one of too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections after their handshakes. A slow one keeps nobody waiting; a failed one is nobody's error but the caller's.
pub fn incoming(
    listener: TcpListener,
    tls: Arc<Live<ServerConfig>>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let handshakes: JoinSet<io::Result<TlsStream<TcpStream>>> = JoinSet::new();
    futures::stream::unfold((listener, tls, handshakes), |(listener, tls, mut handshakes)| async move {
        loop {
            tokio::select! {
                accepted = listener.accept(), if handshakes.len() < MOST => match accepted {
                    Ok((stream, _)) => {
                        handshakes.spawn(shake_hands(stream, TlsAcceptor::from(tls.current())));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(done) = handshakes.join_next() => match done {
                    Ok(Ok(stream)) => return Some((Ok(stream), (listener, tls, handshakes))),
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                    Err(error) => tracing::error!(%error, "a handshake panicked"),
                },
            }
        }
    })
}

async fn shake_hands(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await?
}
