//! What the port says of itself.

use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::{CLOCK, HEALTH, Puppet, Running, config};

#[tokio::test(flavor = "multi_thread")]
async fn reflection_names_what_is_served_here_and_nothing_else() {
    let running = Running::start(config(), vec![Puppet::default().service()]).await;
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut client = ServerReflectionClient::new(running.remote().await);
    let mut answers = client.server_reflection_info(futures::stream::iter([ask])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|it| it.name.as_str()).collect();
    for name in [CLOCK, HEALTH, "perennial.feed.v1.FeedService"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.contains(&"perennial.profile.v1.ProfileService"), "{names:?}");
}
