//! The edge: requests are parsed, answers rendered. The only place that knows tonic and the generated messages.

mod read;
mod render;

use perennial_api::notification::v1 as wire;
use perennial_api::notification::v1::notification_service_server::NotificationService;
use perennial_rpc::{Invalid, Page, resource, status, workspace};
use perennial_types::micros;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::{App, TemplateChange};
use crate::error::Error;
use crate::store::messages::Filter;

type Answer<T> = Result<Response<T>, Status>;

impl From<Error> for Status {
    fn from(fault: Error) -> Self {
        status(&fault)
    }
}

/// Serves [`NotificationService`].
#[derive(Clone)]
pub struct Edge {
    app: App,
}

impl Edge {
    /// An edge to these use cases.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl NotificationService for Edge {
    async fn send_messages(
        &self,
        request: Request<wire::SendMessagesRequest>,
    ) -> Answer<wire::SendMessagesResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let messages = read::messages(&space, it.messages, self.app.now())?;
        let receipts = self.app.send(&space, messages).await?;
        let receipts = receipts.into_iter().map(render::receipt).collect();
        Ok(Response::new(wire::SendMessagesResponse { receipts }))
    }

    async fn get_template(&self, request: Request<wire::GetTemplateRequest>) -> Answer<wire::Template> {
        let it = request.into_inner();
        let (space, name) = resource("name", &it.name, "templates")?;
        let stored = self.app.template(&space, name).await?;
        Ok(Response::new(render::template(&space, stored)))
    }

    async fn list_templates(
        &self,
        request: Request<wire::ListTemplatesRequest>,
    ) -> Answer<wire::ListTemplatesResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let page = Page::<String>::parse(it.page_size, &it.page_token, &["ListTemplates", &it.parent])?;
        let after = page.after.clone().unwrap_or_default();
        let found = self.app.templates(&space, &after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.name.clone());
        let templates = found.into_iter().map(|it| render::template(&space, it)).collect();
        Ok(Response::new(wire::ListTemplatesResponse { templates, next_page_token }))
    }

    async fn update_template(
        &self,
        request: Request<wire::UpdateTemplateRequest>,
    ) -> Answer<wire::UpdateTemplateResponse> {
        let it = request.into_inner();
        let template = it.template.ok_or_else(|| Invalid::new("template", "is missing: set it"))?;
        let (space, name) = resource("template.name", &template.name, "templates")?;
        let change = TemplateChange {
            name: name.to_owned(),
            definition: template.definition,
            allow_missing: it.allow_missing,
            validate_only: it.validate_only,
        };
        let (stored, done) = self.app.update_template(&space, change).await?;
        let change = render::change(done).into();
        Ok(Response::new(wire::UpdateTemplateResponse {
            template: Some(render::template(&space, stored)),
            change,
        }))
    }

    async fn list_messages(
        &self,
        request: Request<wire::ListMessagesRequest>,
    ) -> Answer<wire::ListMessagesResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let query = ["ListMessages", &it.parent, &it.profile, &it.campaign, &it.state];
        let page = Page::<(i64, Uuid)>::parse(it.page_size, &it.page_token, &query)?;
        let filter = Filter {
            profile: if it.profile.is_empty() {
                None
            } else {
                Some(read::profile("profile", &it.profile, &space)?)
            },
            campaign: Some(it.campaign).filter(|it| !it.is_empty()),
            state: read::state(&it.state)?,
        };
        let found = self.app.messages(&space, &filter, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| (micros(it.claimed_at), it.id));
        let messages = found.into_iter().map(|it| render::message(&space, it)).collect();
        Ok(Response::new(wire::ListMessagesResponse { messages, next_page_token }))
    }

    async fn summarize_messages(
        &self,
        request: Request<wire::SummarizeMessagesRequest>,
    ) -> Answer<wire::SummarizeMessagesResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let campaign = Some(it.campaign.as_str()).filter(|it| !it.is_empty());
        let counts = self.app.summary(&space, campaign).await?.into_iter().map(render::count).collect();
        Ok(Response::new(wire::SummarizeMessagesResponse { counts }))
    }

    async fn pause_sending(&self, request: Request<wire::PauseSendingRequest>) -> Answer<wire::SendingPause> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let reason = it.reason.chars().take(500).collect();
        Ok(Response::new(render::pause(Some(self.app.set_pause(&space, true, reason).await?))))
    }

    async fn resume_sending(
        &self,
        request: Request<wire::ResumeSendingRequest>,
    ) -> Answer<wire::SendingPause> {
        let space = workspace("parent", &request.into_inner().parent)?;
        Ok(Response::new(render::pause(Some(self.app.set_pause(&space, false, String::new()).await?))))
    }

    async fn get_sending_pause(
        &self,
        request: Request<wire::GetSendingPauseRequest>,
    ) -> Answer<wire::SendingPause> {
        let space = workspace("parent", &request.into_inner().parent)?;
        Ok(Response::new(render::pause(self.app.pause(&space).await?)))
    }
}
