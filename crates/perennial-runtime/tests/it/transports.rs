//! Neither end can tell whether a call stays in the process.

use std::time::Duration;

use perennial_api::clock::v1::{AdvanceClockRequest, GetClockStatusRequest};
use perennial_rpc::PeerFault;
use perennial_runtime::{Host, Process};
use perennial_types::{Fault, Kind};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::harness::{CLOCK, HEALTH, Puppet, Running, config, puppet};

/// Code, message and details of an error, without the id that only one call has.
fn told(status: &Status) -> (Code, String, String) {
    let mut details = status.get_error_details();
    let id = details.request_info().map(|it| it.request_id.clone()).unwrap_or_default();
    if !id.is_empty() {
        details.set_request_info("", "");
    }
    let message = if id.is_empty() { status.message().to_owned() } else { status.message().replace(&id, "") };
    (status.code(), message, format!("{details:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_alike_in_process_and_over_the_network() {
    let running = Running::start(config(), vec![Puppet::default().service()]).await;
    let missing = HealthCheckRequest { service: "nobody".to_owned() };
    let mut answers = Vec::new();
    for (clock, health) in
        [(running.local(CLOCK), running.local(HEALTH)), (running.remote().await, running.remote().await)]
    {
        let mut clock = puppet(clock);
        let invalid = clock.advance_clock(AdvanceClockRequest::default()).await.unwrap_err();
        let details = invalid.get_error_details();
        assert_eq!(invalid.code(), Code::InvalidArgument);
        assert_eq!(details.error_info().unwrap().domain, "perennial.dev");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "now");

        let epoch = AdvanceClockRequest {
            now: Some(perennial_rpc::time::to_wire(perennial_types::from_micros(0))),
            hold: false,
        };
        let panicked = clock.advance_clock(epoch).await.unwrap_err();
        assert_eq!(panicked.code(), Code::Internal);
        assert!(!format!("{panicked:?}").contains("told to panic"), "{panicked:?}");

        let mut slow = Request::new(GetClockStatusRequest::default());
        slow.set_timeout(Duration::from_millis(100));
        let late = clock.get_clock_status(slow).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
        assert_eq!(late.get_error_details().error_info().unwrap().reason, "DEADLINE_EXCEEDED");

        let not_found = HealthClient::new(health).check(missing.clone()).await.unwrap_err();
        assert_eq!(not_found.code(), Code::NotFound);
        answers.push([told(&invalid), told(&panicked), told(&late), told(&not_found)]);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_elsewhere_is_reached_through_its_peer() {
    let elsewhere = Puppet::default();
    let other = Running::start(config(), vec![elsewhere.service()]).await;
    let mut here = config();
    here.peers.insert("clock".to_owned(), format!("http://{}", other.grpc));
    let running = Running::start(here, vec![]).await;
    let mut client = puppet(running.local(CLOCK));
    elsewhere.answer.notify_one();
    let answer = client.get_clock_status(GetClockStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.activity, 7);

    other.stop.cancel();
    other.ended().await.unwrap();
    let status = client.get_clock_status(GetClockStatusRequest::default()).await.unwrap_err();
    let fault = PeerFault::new(CLOCK, status);
    assert_eq!(fault.kind(), Kind::Unavailable, "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_needed_service_is_refused_with_the_remedy() {
    let config = config();
    let host = Host::new(&config, &[]).unwrap();
    drop(host.mesh.transport("perennial.profile.v1.ProfileService"));
    let refused = Process::bind(&config, host, vec![]).await.err().unwrap().to_string();
    assert!(refused.contains("perennial.profile.v1.ProfileService is needed"), "{refused}");
    assert!(refused.contains("[peers], such as ingestion = \"http://ingestion:50051\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_limit_are_refused_while_health_still_answers() {
    let (mut config, told) = (config(), Puppet::default());
    config.server.max_in_flight = 1;
    let running = Running::start(config, vec![told.service()]).await;
    let mut client = puppet(running.remote().await);
    let mut second = client.clone();
    let first = client.get_clock_status(GetClockStatusRequest::default());
    let rest = async {
        told.entered.notified().await;
        let refused = second.advance_clock(AdvanceClockRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(refused.get_error_details().error_info().unwrap().reason, "TOO_MANY_CALLS");
        assert!(refused.get_error_details().retry_info().is_some());
        running.until("", 1).await;
        // Within the process nobody is refused: the caller already is one of the calls.
        let here = puppet(running.local(CLOCK)).advance_clock(AdvanceClockRequest::default()).await;
        assert_eq!(here.unwrap_err().code(), Code::InvalidArgument);
        told.answer.notify_one();
    };
    let (first, ()) = tokio::join!(first, rest);
    assert_eq!(first.unwrap().into_inner().activity, 7);
    // The place is free once the first answer has wholly left.
    let after = loop {
        let refused = client.advance_clock(AdvanceClockRequest::default()).await.unwrap_err();
        if refused.code() != Code::Unavailable {
            break refused;
        }
    };
    assert_eq!(after.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_over_the_network_and_shown_to_peers() {
    let mut guarded = config();
    guarded.server.token = perennial_runtime::Secret::new("t0ken");
    let running = Running::start(guarded.clone(), vec![Puppet::default().service()]).await;
    let without = puppet(running.remote().await).advance_clock(AdvanceClockRequest::default()).await;
    assert_eq!(without.unwrap_err().code(), Code::Unauthenticated);
    let inside = puppet(running.local(CLOCK)).advance_clock(AdvanceClockRequest::default()).await;
    assert_eq!(inside.unwrap_err().code(), Code::InvalidArgument);

    guarded.peers.insert("clock".to_owned(), format!("http://{}", running.grpc));
    let peer = Running::start(guarded, vec![]).await;
    let with = puppet(peer.local(CLOCK)).advance_clock(AdvanceClockRequest::default()).await;
    assert_eq!(with.unwrap_err().code(), Code::InvalidArgument);
}
