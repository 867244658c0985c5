//! The peers' gRPC services, one method each or two, in front of what they keep.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;

use crate::peers::Taken;

/// A peer that answers the methods campaign calls.
macro_rules! peer {
    ($name:ident, $service:literal, $($method:literal, |$taken:ident, $request:ident: $type:ty| $answer:expr);+) => {
        #[derive(Clone)]
        pub struct $name(pub Taken);

        impl tonic::server::NamedService for $name {
            const NAME: &'static str = $service;
        }

        impl tower::Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let taken = self.0.clone();
                Box::pin(async move {
                    $(if request.uri().path() == concat!("/", $service, "/", $method) {
                        let $taken = taken;
                        let answer = tower::service_fn(move |$request: tonic::Request<$type>| {
                            let answer = $answer;
                            async move { answer.map(tonic::Response::new) }
                        });
                        let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::default());
                        return Ok(grpc.unary(answer, request).await);
                    })+
                    panic!("campaign calls {}", request.uri().path());
                })
            }
        }
    };
}

/// What loyalty says of an offer that there is not.
#[derive(Debug)]
struct NoOffer;

impl std::fmt::Display for NoOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no such offer")
    }
}

impl std::error::Error for NoOffer {}

impl perennial_types::Fault for NoOffer {
    fn kind(&self) -> perennial_types::Kind {
        perennial_types::Kind::NotFound
    }

    fn reason(&self) -> &'static str {
        "OFFER_NOT_FOUND"
    }
}

peer!(
    Notification,
    "perennial.notification.v1.NotificationService",
    "SendMessages",
    |taken, request: perennial_api::notification::v1::SendMessagesRequest| {
        taken.send(request.into_inner()).ok_or_else(|| tonic::Status::unavailable("not now"))
    }
);
peer!(
    Loyalty,
    "perennial.loyalty.v1.LoyaltyService",
    "IssueCoupons",
    |taken, request: perennial_api::loyalty::v1::IssueCouponsRequest| Ok::<_, tonic::Status>(
        taken.issue(request.into_inner())
    );
    "GetOffer",
    |taken, request: perennial_api::loyalty::v1::GetOfferRequest| {
        let missing = || perennial_rpc::status(&NoOffer);
        taken.offer(&request.into_inner().name).ok_or_else(missing)
    }
);
peer!(
    Ingestion,
    "perennial.ingestion.v1.IngestionService",
    "IngestEvents",
    |taken, request: perennial_api::ingestion::v1::IngestEventsRequest| Ok::<_, tonic::Status>(
        taken.ingest(request.into_inner())
    )
);
peer!(
    Profiles,
    "perennial.profile.v1.ProfileService",
    "ReadFacts",
    |taken, request: perennial_api::profile::v1::ReadFactsRequest| {
        drop((request, &taken));
        Ok::<_, tonic::Status>(perennial_api::profile::v1::ReadFactsResponse::default())
    }
);
