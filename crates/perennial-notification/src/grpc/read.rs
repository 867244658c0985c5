//! Messages to domain values, naming every field that is wrong.

use perennial_api::notification::v1 as wire;
use perennial_rpc::{Field, Invalid, resource, structs, time};
use perennial_types::{Channel, ProfileId, Purpose, Timestamp, Workspace};
use uuid::Uuid;

use crate::domain::message::{Message, State};

const MOST: usize = 1_000;
/// Bytes of the data of one message.
const MOST_DATA: usize = 64 << 10;

/// A profile's resource name, of this workspace.
pub fn profile(field: &str, name: &str, space: &Workspace) -> Result<ProfileId, Invalid> {
    let (found, id) = resource(field, name, "profiles")?;
    if found != *space {
        return Err(Invalid::new(field, format!("is of workspace {found}, but parent is {space}")));
    }
    ProfileId::parse(id).field(field)
}

/// A message's state, or nothing.
pub fn state(word: &str) -> Result<Option<State>, Invalid> {
    if word.is_empty() {
        return Ok(None);
    }
    let known = State::ALL.map(State::as_str).join(", ");
    State::parse(word).ok_or_else(|| format!("is {word:?}: use one of {known}")).field("state").map(Some)
}

/// Messages to send.
pub fn messages(
    space: &Workspace,
    messages: Vec<wire::MessageRequest>,
    now: Timestamp,
) -> Result<Vec<Message>, Invalid> {
    if messages.len() > MOST {
        return Err(Invalid::new("messages", format!("are {}: send at most {MOST} at once", messages.len())));
    }
    let mut invalid = Invalid::default();
    let mut read = Vec::with_capacity(messages.len());
    for (n, it) in messages.into_iter().enumerate() {
        match message(space, it, now) {
            Ok(message) => read.push(message),
            Err(inner) => invalid.add_within(&format!("messages[{n}]"), inner),
        }
    }
    invalid.into_result().map(|()| read)
}

fn message(space: &Workspace, it: wire::MessageRequest, now: Timestamp) -> Result<Message, Invalid> {
    let mut invalid = Invalid::default();
    let uuid = |field: &str, text: &str| {
        let problem = "is not a UUID: send one such as 0198f3a2-7c1e-7abc-8def-001122334455";
        Uuid::parse_str(text).map_err(|_| problem).field(field)
    };
    let id = invalid.take(uuid("message_id", &it.message_id));
    let decision = match it.decision_id.as_str() {
        "" => Some(None),
        text => invalid.take(uuid("decision_id", text).map(Some)),
    };
    let profile = invalid.take(profile("profile", &it.profile, space));
    let channel = Channel::parse(&it.channel);
    let channel = channel.ok_or_else(|| format!("is {:?}: use email, sms, push or webhook", it.channel));
    let channel = invalid.take(channel.field("channel"));
    let purpose = Purpose::parse(&it.purpose);
    let purpose =
        purpose.ok_or_else(|| format!("is {:?}: use marketing, transactional or compliance", it.purpose));
    let purpose = invalid.take(purpose.field("purpose"));
    for (field, value) in [("campaign", &it.campaign), ("step", &it.step), ("template", &it.template)] {
        if value.is_empty() || value.len() > 255 {
            invalid.add(field, "is empty or longer than 255: send its bare name");
        }
    }
    if it.occurrence.len() > 255 {
        invalid.add("occurrence", "is longer than 255");
    }
    let instant = |field: &str, wire: &Option<prost_types::Timestamp>| {
        wire.as_ref().map(|it| time::from_wire(it, field)).transpose()
    };
    let not_before = invalid.take(instant("not_before_time", &it.not_before_time)).flatten();
    let not_after = invalid.take(instant("not_after_time", &it.not_after_time)).flatten();
    let data = it.data.map(structs::to_json).unwrap_or_default();
    if serde_json::to_string(&data).map_or(0, |it| it.len()) > MOST_DATA {
        invalid.add("data", format!("is longer than {MOST_DATA} bytes as JSON"));
    }
    invalid.into_result()?;
    let (Some(id), Some(decision), Some(profile), Some(channel), Some(purpose)) =
        (id, decision, profile, channel, purpose)
    else {
        return Err(Invalid::default());
    };
    Ok(Message {
        id,
        workspace: space.clone(),
        decision,
        profile,
        campaign: it.campaign,
        step: it.step,
        occurrence: it.occurrence,
        channel,
        purpose,
        template: it.template,
        data,
        not_before: not_before.unwrap_or(now),
        not_after,
    })
}
