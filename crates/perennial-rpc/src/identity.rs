//! Who calls, once that is known: how far they may go, and which workspace is theirs.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use perennial_api::access::v1::Scope;
use perennial_types::Workspace;
use tonic::body::Body;

tokio::task_local! {
    static CALLING: Identity;
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A service of this installation, or its operator: every workspace, every method.
    Service,
    /// The holder of a key: one workspace, and what the key may do.
    Key {
        /// The only workspace there is, for this caller.
        workspace: Workspace,
        /// What the key may do.
        scopes: Vec<Scope>,
    },
}

impl Identity {
    /// Whether it may call a method that needs `scope`.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Service => true,
            Self::Key { scopes, .. } => scopes.iter().any(|it| includes(*it, scope)),
        }
    }

    /// Whether a workspace exists, as far as this caller can tell.
    #[must_use]
    pub fn sees(&self, workspace: &Workspace) -> bool {
        match self {
            Self::Service => true,
            Self::Key { workspace: own, .. } => own == workspace,
        }
    }

    /// Answers a call as one of this caller: names of other workspaces, read by [`crate::workspace`] and
    /// [`crate::resource`] meanwhile, are not found.
    pub async fn calling<F: Future>(self, answer: F) -> F::Output {
        CALLING.scope(self, answer).await
    }

    /// Goes on answering as one of this caller while the answer's body streams: what is read of a stream of requests by
    /// then is as much theirs as the first.
    #[must_use]
    pub fn streaming(self, body: Body) -> Body {
        match self {
            Self::Service => body,
            Self::Key { .. } => Body::new(Streaming { identity: self, body }),
        }
    }
}

struct Streaming {
    identity: Identity,
    body: Body,
}

impl http_body::Body for Streaming {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, tonic::Status>>> {
        let Self { identity, body } = &mut *self;
        CALLING.sync_scope(identity.clone(), || Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether the caller that is being answered may know of a workspace. Outside of a call, as in tests of a service by
/// itself, there is nobody to hide it from.
pub(crate) fn is_visible(workspace: &Workspace) -> bool {
    CALLING.try_with(|it| it.sees(workspace)).unwrap_or(true)
}

/// Whether who may do `held` may do what needs `wanted`.
fn includes(held: Scope, wanted: Scope) -> bool {
    match held {
        Scope::Admin => wanted != Scope::Service && wanted != Scope::Unspecified,
        Scope::Write => matches!(wanted, Scope::Write | Scope::Read),
        Scope::Read | Scope::Ingest => held == wanted,
        // No key holds these.
        Scope::Service | Scope::Unspecified => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope]) -> Identity {
        Identity::Key { workspace: Workspace::parse("shop").unwrap(), scopes: scopes.to_vec() }
    }

    #[test]
    fn a_key_does_what_its_scopes_include_and_never_what_services_ask_each_other() {
        let all = [Scope::Ingest, Scope::Read, Scope::Write, Scope::Admin, Scope::Service];
        let may = |scopes: &[Scope]| all.map(|it| key(scopes).may(it));
        assert_eq!(may(&[Scope::Ingest]), [true, false, false, false, false]);
        assert_eq!(may(&[Scope::Read]), [false, true, false, false, false]);
        assert_eq!(may(&[Scope::Write]), [false, true, true, false, false]);
        assert_eq!(may(&[Scope::Ingest, Scope::Read]), [true, true, false, false, false]);
        assert_eq!(may(&[Scope::Admin]), [true, true, true, true, false]);
        assert_eq!(may(&[Scope::Service]), [false; 5]);
        assert!(all.iter().all(|it| Identity::Service.may(*it)));
    }

    #[tokio::test]
    async fn another_workspace_does_not_exist_for_a_key() {
        let read = || crate::workspace("parent", "workspaces/other");
        assert!(read().is_ok());
        Identity::Service.calling(async { assert!(read().is_ok()) }).await;
        key(&[Scope::Admin])
            .calling(async {
                let refused: tonic::Status = read().unwrap_err().into();
                assert_eq!(refused.code(), tonic::Code::NotFound);
                let name = "workspaces/other/segments/vip";
                let refused: tonic::Status = crate::resource("name", name, "segments").unwrap_err().into();
                assert_eq!(refused.code(), tonic::Code::NotFound);
                assert!(crate::workspace("parent", "workspaces/shop").is_ok());
            })
            .await;
    }
}
