//! How a client reaches a service: the same type in process and over the network.

use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Channel;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// Carries a client's calls, within this process or to another. Neither end can tell which.
///
/// The error is tonic's own on purpose: with a boxed one, a client used inside a `Send` handler does not compile.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, tonic::transport::Error>;

/// A transport to services of this process.
#[must_use]
pub fn local(routes: Routes) -> Transport {
    let service = ServiceExt::<http::Request<Body>>::map_err(routes, |never| match never {});
    Transport::new(service)
}

/// A transport to another process.
#[must_use]
pub fn remote(channel: Channel) -> Transport {
    Transport::new(channel)
}
