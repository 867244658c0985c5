//! Who notification talks to: profiles that are known, and ingestion that takes events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use perennial_api::ingestion::v1::{
    Event, EventOutcome, IngestEventsRequest, IngestEventsResponse, event_outcome,
};
use perennial_api::profile::v1::{BatchGetContactsRequest, BatchGetContactsResponse, Contact};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

type Reply = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Contacts by resource name.
#[derive(Clone, Default)]
pub struct Profiles(pub Arc<Mutex<BTreeMap<String, Contact>>>);

impl NamedService for Profiles {
    const NAME: &'static str = "perennial.profile.v1.ProfileService";
}

impl tower::Service<http::Request<Body>> for Profiles {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Reply {
        let known = self.0.clone();
        Box::pin(async move {
            let answer = service_fn(move |request: Request<BatchGetContactsRequest>| {
                let known = known.lock().unwrap();
                let names = request.into_inner().names;
                let contacts = names.iter().filter_map(|it| known.get(it).cloned()).collect();
                async move { Ok::<_, Status>(Response::new(BatchGetContactsResponse { contacts })) }
            });
            let codec = ProstCodec::<BatchGetContactsResponse, BatchGetContactsRequest>::default();
            Ok(Grpc::new(codec).unary(answer, request).await)
        })
    }
}

/// Events that were taken.
#[derive(Clone, Default)]
pub struct Ingestion(pub Arc<Mutex<Vec<Event>>>);

impl NamedService for Ingestion {
    const NAME: &'static str = "perennial.ingestion.v1.IngestionService";
}

impl tower::Service<http::Request<Body>> for Ingestion {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Reply {
        let taken = self.0.clone();
        Box::pin(async move {
            let answer = service_fn(move |request: Request<IngestEventsRequest>| {
                let events = request.into_inner().events;
                let accepted =
                    EventOutcome { result: event_outcome::Result::Accepted.into(), ..Default::default() };
                let outcomes = vec![accepted; events.len()];
                taken.lock().unwrap().extend(events);
                async move { Ok::<_, Status>(Response::new(IngestEventsResponse { outcomes })) }
            });
            let codec = ProstCodec::<IngestEventsResponse, IngestEventsRequest>::default();
            Ok(Grpc::new(codec).unary(answer, request).await)
        })
    }
}
