//! Calls whose requests are streams, answered once at the end: they may last as long as they flow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;

/// Methods of that kind.
const STREAMS: [&str; 1] = ["/perennial.ingestion.v1.IngestionService/IngestStream"];

/// When something of a request last came in.
#[derive(Clone, Debug)]
pub struct Flow(Arc<Mutex<Instant>>);

impl Flow {
    /// Watches the request of a method whose time counts anew with everything that comes in; nothing for other methods, and
    /// where the caller says itself how long the whole call may take.
    pub fn watch(
        path: &str,
        asked: Option<Duration>,
        request: Request<Body>,
    ) -> (Option<Self>, Request<Body>) {
        if asked.is_some() || !STREAMS.contains(&path) {
            return (None, request);
        }
        let flow = Self(Arc::new(Mutex::new(Instant::now())));
        let latest = flow.clone();
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                *latest.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                frame
            }))
        });
        (Some(flow), request)
    }

    fn ends(&self, limit: Duration) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) + limit
    }
}

/// Does work within a limit, or where there is a flow, until nothing has come in for so long. `None`: it took too long.
pub async fn within<T>(limit: Duration, flow: Option<Flow>, work: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    let ends = || flow.as_ref().map_or(began + limit, |it| it.ends(limit));
    let mut work = std::pin::pin!(work);
    loop {
        match timeout_at(ends(), &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if ends() <= Instant::now() => return None,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;

    /// A request of `count` parts, one every 50 ms, after which nothing more comes, and its end only if it is `whole`.
    fn request(count: u32, whole: bool) -> Request<Body> {
        let parts = futures::stream::unfold(0, move |n| async move {
            if n == count {
                return if whole { None } else { std::future::pending().await };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, tonic::Status>(Frame::data(bytes::Bytes::from_static(b"x"))), n + 1))
        });
        Request::new(Body::new(StreamBody::new(parts)))
    }

    async fn read(path: &str, asked: Option<Duration>, whole: bool) -> Option<usize> {
        let (flow, request) = Flow::watch(path, asked, request(12, whole));
        let read = async { request.into_body().collect().await.unwrap().to_bytes().len() };
        within(Duration::from_millis(300), flow, read).await
    }

    #[tokio::test]
    async fn a_stream_may_last_as_long_as_it_flows_and_no_longer() {
        assert_eq!(read(STREAMS[0], None, true).await, Some(12));
        assert_eq!(read(STREAMS[0], None, false).await, None, "it stood still");
        assert_eq!(
            read(STREAMS[0], Some(Duration::from_millis(300)), true).await,
            None,
            "its caller said so"
        );
        assert_eq!(read("/perennial.ingestion.v1.IngestionService/IngestEvents", None, true).await, None);
    }
}
