//! A simulated clock and its driver.

use perennial_api::clock::v1::{AdvanceClockRequest, GetClockStatusRequest};
use perennial_feed::Topic;
use perennial_rpc::time;
use perennial_runtime::{Host, Service};
use perennial_types::from_micros;
use tokio::sync::mpsc;
use tonic::Code;

use crate::harness::{CLOCK, Running, config, puppet};

const START: i64 = 1_767_225_600_000_000;
const HOUR: i64 = 3_600_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_moves_the_clock_and_sees_what_became_due_done() {
    let mut config = config();
    config.clock.simulated_from = Some(from_micros(START));
    let host = Host::new(&config, &[]).unwrap();
    let (done, mut seen) = mpsc::unbounded_channel();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let service = Service::new("campaign").task("timers", move |stop| async move {
        let listener = bell.listener("campaign timers", [Topic::other("never")]);
        let mut due = Some(from_micros(START + HOUR));
        while !stop.is_cancelled() {
            if let Some(at) = due.filter(|at| *at <= clock.now()) {
                done.send(at)?;
                due = None;
            }
            tokio::select! { () = stop.cancelled() => {}, () = listener.idle(due) => {} }
        }
        Ok(())
    });
    let running = Running::start_on(config, host, vec![service]).await;
    running.until("", 1).await;
    let mut driver = puppet(running.remote().await);
    let quiet = loop {
        let status = driver.get_clock_status(GetClockStatusRequest::default()).await.unwrap().into_inner();
        if status.quiet {
            break status;
        }
    };
    assert_eq!(quiet.now, Some(time::to_wire(from_micros(START))));
    assert_eq!(quiet.next_due_time, Some(time::to_wire(from_micros(START + HOUR))));

    let to = Some(time::to_wire(from_micros(START + HOUR)));
    driver.advance_clock(AdvanceClockRequest { now: to, hold: false }).await.unwrap();
    loop {
        let status = driver.get_clock_status(GetClockStatusRequest::default()).await.unwrap().into_inner();
        assert!(status.activity > quiet.activity);
        if status.quiet {
            break;
        }
    }
    assert_eq!(seen.try_recv(), Ok(from_micros(START + HOUR)));
    running.stop.cancel();
    running.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_clock_has_no_driver() {
    let running = Running::start(config(), vec![]).await;
    let refused =
        puppet(running.remote().await).get_clock_status(GetClockStatusRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let here =
        puppet(running.local(CLOCK)).get_clock_status(GetClockStatusRequest::default()).await.unwrap_err();
    assert_eq!(here.code(), Code::Unavailable);
}
