//! The hand of the one driver that moves a simulated clock.

use std::time::Duration;

use perennial_api::clock::v1::clock_service_server::ClockService;
use perennial_api::clock::v1::{AdvanceClockRequest, ClockStatus, FeedNews, GetClockStatusRequest};
use perennial_feed::Bell;
use perennial_rpc::time;
use perennial_types::SimulatedClock;
use tonic::{Request, Response, Status};

/// Serves `ClockService` for a simulated clock.
pub struct Hand {
    pub clock: SimulatedClock,
    pub bell: Bell,
    /// The feeds that are served here.
    pub feeds: Vec<String>,
}

impl Hand {
    fn status(&self) -> ClockStatus {
        // Activity first: what happens in between is seen as a change by the next question.
        let activity = self.bell.activity();
        let quiet = self.bell.is_quiet();
        let news = |(feed, count)| FeedNews { feed, count };
        let told = self.feeds.iter().map(|it| news((it.clone(), self.bell.rings(it)))).collect();
        let heard = self.bell.hearsay().into_iter().map(news).collect();
        if let Some(busy) = self.bell.busy() {
            tracing::debug!(busy, "not quiet");
        }
        ClockStatus {
            now: Some(time::to_wire(self.clock.now())),
            quiet,
            activity,
            next_due_time: self.bell.next_due().map(time::to_wire),
            told,
            heard,
        }
    }
}

#[tonic::async_trait]
impl ClockService for Hand {
    async fn get_clock_status(
        &self,
        request: Request<GetClockStatusRequest>,
    ) -> Result<Response<ClockStatus>, Status> {
        let wait = Duration::from_millis(request.get_ref().wait_ms.into());
        // A wait that ends too early answers what there is.
        let _ = tokio::time::timeout(wait, self.bell.quiet()).await;
        Ok(Response::new(self.status()))
    }

    async fn advance_clock(
        &self,
        request: Request<AdvanceClockRequest>,
    ) -> Result<Response<ClockStatus>, Status> {
        let to = time::required(request.get_ref().now.as_ref(), "now")?;
        self.clock.advance(to);
        if !request.get_ref().hold {
            self.bell.clock_moved();
        }
        Ok(Response::new(self.status()))
    }
}
