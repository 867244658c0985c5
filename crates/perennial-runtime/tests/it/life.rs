//! From start to end.

use std::time::Duration;

use perennial_api::clock::v1::GetClockStatusRequest;
use perennial_runtime::{Host, Process, Service};
use tokio::sync::{mpsc, oneshot};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{CLOCK, HEALTH, Puppet, Running, config, puppet};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_calls_in_flight_and_only_then_stops_the_tasks() {
    let told = Puppet::default();
    let (events, mut seen) = mpsc::unbounded_channel();
    let service = told.service().task("background", move |stop| async move {
        stop.cancelled().await;
        events.send("task told to stop")?;
        Ok(())
    });
    let running = Running::start(config(), vec![service]).await;
    let mut client = puppet(running.remote().await);
    let mut health = running.health().await;
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);

    let call = client.get_clock_status(GetClockStatusRequest::default());
    let stopping = async {
        told.entered.notified().await;
        running.stop.cancel();
        // A watch is told, and ends, so that it does not hold the process.
        assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
        assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
        // The port takes nothing more, and yet the tasks, which the call may need, go on.
        seen.try_recv().unwrap_err();
        told.answer.notify_one();
    };
    let (answer, ()) = tokio::join!(call, stopping);
    assert_eq!(answer.unwrap().into_inner().activity, 7);
    let grpc = running.grpc;
    running.ended().await.unwrap();
    assert_eq!(seen.recv().await, Some("task told to stop"));
    assert!(tokio::net::TcpStream::connect(grpc).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_drain_delay_calls_are_still_taken() {
    let (mut config, told) = (config(), Puppet::default());
    config.server.drain_delay = Duration::from_millis(300);
    let running = Running::start(config, vec![told.service()]).await;
    let mut client = puppet(running.remote().await);
    running.stop.cancel();
    running.until("", 2).await;
    running.until(CLOCK, 2).await;
    told.answer.notify_one();
    assert_eq!(
        client.get_clock_status(GetClockStatusRequest::default()).await.unwrap().into_inner().activity,
        7
    );
    running.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_cut_off() {
    let (mut config, told) = (config(), Puppet::default());
    config.server.drain_timeout = Duration::from_millis(100);
    let running = Running::start(config, vec![told.service()]).await;
    let mut client = puppet(running.remote().await);
    let stopping = async {
        told.entered.notified().await;
        running.stop.cancel();
        running.ended().await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.get_clock_status(GetClockStatusRequest::default()), stopping);
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_brings_the_process_down_by_name() {
    let failing = Service::new("scoring").task("fitting", |_| async { anyhow::bail!("no data") });
    let running = Running::start_on(config(), Host::new(&config(), &[]).unwrap(), vec![failing]).await;
    let error = format!("{:#}", running.ended().await.unwrap_err());
    assert_eq!(error, "the task \"scoring fitting\": no data");

    let panicking = Service::new("scoring").task("fitting", |_| async { panic!("at a bad number") });
    let running = Running::start_on(config(), Host::new(&config(), &[]).unwrap(), vec![panicking]).await;
    let error = format!("{:#}", running.ended().await.unwrap_err());
    assert!(error.contains("scoring fitting") && error.contains("at a bad number"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_serves_only_after_its_tasks_began() {
    let (begin, began) = oneshot::channel();
    let service = Service::new("scoring").tasks(move |stop| {
        begin.send(()).unwrap();
        let stop = stop.clone();
        vec![("lane".to_owned(), Box::pin(async move { stop.cancelled().await }))]
    });
    let running = Running::start(config(), vec![service]).await;
    let mut began = began;
    began.try_recv().unwrap();
    running.stop.cancel();
    running.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_service_twice_are_refused_by_name() {
    let running = Running::start(config(), vec![]).await;
    let mut taken = config();
    taken.listen = running.grpc;
    let host = Host::new(&taken, &[]).unwrap();
    let refused = format!("{:#}", Process::bind(&taken, host, vec![]).await.err().unwrap());
    assert!(refused.starts_with(&format!("listen = \"{}\" cannot be bound", running.grpc)), "{refused}");

    let host = Host::new(&config(), &[]).unwrap();
    let twice = vec![Puppet::default().service(), Puppet::default().service()];
    let refused = Process::bind(&config(), host, twice).await.err().unwrap().to_string();
    assert!(refused.contains(CLOCK) && refused.contains("twice"), "{refused}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_the_process() {
    let host = Host::new(&config(), &[]).unwrap();
    let process = Process::bind(&config(), host.clone(), vec![Puppet::default().service()]).await.unwrap();
    let mut health = HealthClient::new(host.mesh.transport(HEALTH));
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let running = tokio::spawn(process.run());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status != 1 {}
    let told = std::process::Command::new("kill").arg(std::process::id().to_string()).status().unwrap();
    assert!(told.success());
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
}
