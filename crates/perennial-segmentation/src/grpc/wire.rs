//! What the use cases give to answers.

use perennial_api::segmentation::v1 as wire;
use perennial_rpc::time::to_wire;
use perennial_types::{ProfileId, Timestamp, Workspace};

use crate::app::{Preview, Saved, StageHistory};
use crate::domain::Cause;
use crate::store::members::Standing;

/// How far a segment is.
pub fn state(live: bool) -> wire::segment::State {
    if live { wire::segment::State::Live } else { wire::segment::State::Backfilling }
}

/// A segment.
pub fn segment(workspace: &Workspace, saved: Saved) -> wire::Segment {
    let Saved { definition: it, live, preview } = saved;
    wire::Segment {
        name: format!("{}/segments/{}", workspace.resource(), it.name),
        description: it.description,
        rule: it.rule,
        allow_unknown_events: it.allow_unknown_events,
        state: state(live).into(),
        version: it.version,
        create_time: Some(to_wire(it.created_at)),
        update_time: Some(to_wire(it.updated_at)),
        etag: it.etag.to_string(),
        preview: preview.map(|it| {
            let Preview { members, profiles, entering, leaving, sampled } = it;
            wire::Preview { members, profiles, entering, leaving, sampled }
        }),
    }
}

fn cause(cause: Cause) -> wire::Cause {
    use wire::cause::Kind;
    let kind = match cause {
        Cause::Event(name) => Kind::Event(name),
        Cause::Timer(part) => Kind::Timer(part),
        Cause::Score => Kind::Change("score".to_owned()),
        Cause::Profile => Kind::Change("profile".to_owned()),
        Cause::Merge => Kind::Change("merge".to_owned()),
        Cause::Rule => Kind::Change("rule".to_owned()),
    };
    wire::Cause { kind: Some(kind) }
}

/// Where a profile stands with a segment.
pub fn standing(standing: Option<Standing>) -> wire::CheckMembershipResponse {
    match standing {
        None => wire::CheckMembershipResponse::default(),
        Some(it) => wire::CheckMembershipResponse {
            member: it.member,
            since: Some(to_wire(it.since)),
            cause: Some(cause(it.cause)),
            historical: it.historical,
            complete_through: None,
        },
    }
}

/// A member of a segment.
pub fn member(workspace: &Workspace, (profile, since, why): (ProfileId, Timestamp, Cause)) -> wire::Member {
    wire::Member {
        profile: format!("{}/profiles/{profile}", workspace.resource()),
        since: Some(to_wire(since)),
        cause: Some(cause(why)),
    }
}

/// A profile's stage.
pub fn stage(workspace: &Workspace, history: StageHistory) -> wire::ProfileStage {
    let moves: Vec<wire::StageMove> = history
        .moves
        .into_iter()
        .map(|it| wire::StageMove {
            stage: it.stage,
            since: Some(to_wire(it.at)),
            cause: Some(cause(it.cause)),
            historical: it.historical,
        })
        .collect();
    let present = moves.first().cloned().unwrap_or_default();
    wire::ProfileStage {
        profile: format!("{}/profiles/{}", workspace.resource(), history.profile),
        stage: present.stage,
        since: present.since,
        cause: present.cause,
        history: moves,
        complete_through: None,
    }
}
