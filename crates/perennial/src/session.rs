//! How commands reach the services: in this process or at an address, which no command can tell.

use anyhow::anyhow;
use perennial_api::access::v1::access_service_client::AccessServiceClient;
use perennial_api::campaign::v1::campaign_service_client::CampaignServiceClient;
use perennial_api::catalog::v1::catalog_service_client::CatalogServiceClient;
use perennial_api::feed::v1::feed_service_client::FeedServiceClient;
use perennial_api::ingestion::v1::export_service_client::ExportServiceClient;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::ingestion::v1::quality_service_client::QualityServiceClient;
use perennial_api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use perennial_api::notification::v1::notification_service_client::NotificationServiceClient;
use perennial_api::profile::v1::identity_service_client::IdentityServiceClient;
use perennial_api::profile::v1::privacy_service_client::PrivacyServiceClient;
use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_api::profile::v1::{GetProfileRequest, LookupProfileRequest, Profile};
use perennial_api::scoring::v1::scoring_service_client::ScoringServiceClient;
use perennial_api::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use perennial_rpc::{Transport, client};
use perennial_runtime::Mesh;
use perennial_types::{ProfileId, Workspace};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::output::Format;

/// The services, for one workspace.
#[derive(Clone)]
pub struct Session {
    mesh: Mesh,
    /// The workspace.
    pub workspace: Workspace,
    /// For people or for programs.
    pub format: Format,
    /// The services run in this process, and only some of them do anything unasked.
    pub is_here: bool,
}

impl Session {
    /// A session over a mesh.
    #[must_use]
    pub fn new(mesh: Mesh, workspace: Workspace, format: Format) -> Self {
        Self { mesh, workspace, format, is_here: false }
    }

    /// The same, with the services in this process.
    #[must_use]
    pub fn here(mut self) -> Self {
        self.is_here = true;
        self
    }

    /// `workspaces/{workspace}`.
    #[must_use]
    pub fn parent(&self) -> String {
        self.workspace.resource()
    }

    /// `workspaces/{workspace}/{collection}/{id}`.
    #[must_use]
    pub fn name(&self, collection: &str, id: &str) -> String {
        format!("{}/{collection}/{id}", self.parent())
    }

    /// Whether a program reads the answers.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Events and write keys.
    #[must_use]
    pub fn ingestion(&self) -> IngestionServiceClient<Transport> {
        let name = "perennial.ingestion.v1.IngestionService";
        client!(IngestionServiceClient::new(self.mesh.transport(name)))
    }

    /// Events and orders out again.
    #[must_use]
    pub fn export(&self) -> ExportServiceClient<Transport> {
        client!(ExportServiceClient::new(self.mesh.transport("perennial.ingestion.v1.ExportService")))
    }

    /// API keys.
    #[must_use]
    pub fn access(&self) -> AccessServiceClient<Transport> {
        client!(AccessServiceClient::new(self.mesh.transport("perennial.access.v1.AccessService")))
    }

    /// The tracking plan, and events that were refused.
    #[must_use]
    pub fn quality(&self) -> QualityServiceClient<Transport> {
        client!(QualityServiceClient::new(self.mesh.transport("perennial.ingestion.v1.QualityService")))
    }

    /// Profiles.
    #[must_use]
    pub fn profiles(&self) -> ProfileServiceClient<Transport> {
        client!(ProfileServiceClient::new(self.mesh.transport("perennial.profile.v1.ProfileService")))
    }

    /// Merges.
    #[must_use]
    pub fn identity(&self) -> IdentityServiceClient<Transport> {
        client!(IdentityServiceClient::new(self.mesh.transport("perennial.profile.v1.IdentityService")))
    }

    /// Exports and erasures.
    #[must_use]
    pub fn privacy(&self) -> PrivacyServiceClient<Transport> {
        client!(PrivacyServiceClient::new(self.mesh.transport("perennial.profile.v1.PrivacyService")))
    }

    /// The catalogue.
    #[must_use]
    pub fn catalog(&self) -> CatalogServiceClient<Transport> {
        client!(CatalogServiceClient::new(self.mesh.transport("perennial.catalog.v1.CatalogService")))
    }

    /// Segments and stages.
    #[must_use]
    pub fn segmentation(&self) -> SegmentationServiceClient<Transport> {
        let name = "perennial.segmentation.v1.SegmentationService";
        client!(SegmentationServiceClient::new(self.mesh.transport(name)))
    }

    /// Scores and models.
    #[must_use]
    pub fn scoring(&self) -> ScoringServiceClient<Transport> {
        client!(ScoringServiceClient::new(self.mesh.transport("perennial.scoring.v1.ScoringService")))
    }

    /// Campaigns.
    #[must_use]
    pub fn campaign(&self) -> CampaignServiceClient<Transport> {
        client!(CampaignServiceClient::new(self.mesh.transport("perennial.campaign.v1.CampaignService")))
    }

    /// Offers and the ledger.
    #[must_use]
    pub fn loyalty(&self) -> LoyaltyServiceClient<Transport> {
        client!(LoyaltyServiceClient::new(self.mesh.transport("perennial.loyalty.v1.LoyaltyService")))
    }

    /// Templates and messages.
    #[must_use]
    pub fn notification(&self) -> NotificationServiceClient<Transport> {
        let name = "perennial.notification.v1.NotificationService";
        client!(NotificationServiceClient::new(self.mesh.transport(name)))
    }

    /// Readers and parked profiles of the process that runs a service.
    #[must_use]
    pub fn feeds_of(&self, service: &str) -> FeedServiceClient<Transport> {
        client!(FeedServiceClient::new(self.mesh.feed(service)))
    }

    /// Finds a profile by any identifier, its own id included.
    ///
    /// # Errors
    /// If nobody is known by it.
    pub async fn profile(&self, identifier: &str) -> anyhow::Result<Profile> {
        self.find(identifier).await?.ok_or_else(|| self.nobody(identifier))
    }

    /// Finds a profile by any identifier, its own id included; none if nobody is known by it.
    ///
    /// # Errors
    /// If ingestion refuses.
    pub async fn find(&self, identifier: &str) -> anyhow::Result<Option<Profile>> {
        if let Ok(id) = ProfileId::parse(identifier) {
            let request = GetProfileRequest { name: self.name("profiles", &id.to_string()) };
            match self.profiles().get_profile(request).await {
                Err(status) if status.code() == Code::NotFound => {}
                other => return Ok(Some(other.map_err(told)?.into_inner())),
            }
        }
        let request = LookupProfileRequest { parent: self.parent(), identifier: identifier.to_owned() };
        match self.profiles().lookup_profile(request).await {
            Err(status) if status.code() == Code::NotFound => Ok(None),
            other => Ok(Some(other.map_err(told)?.into_inner())),
        }
    }

    /// That nobody is known by an identifier.
    #[must_use]
    pub fn nobody(&self, identifier: &str) -> anyhow::Error {
        anyhow!(
            "nobody is known as {identifier:?} in workspace {}: use a user id, e-mail, phone, anonymous id or profile id",
            self.workspace
        )
    }
}

/// An answer that is an error, in the words a person needs: what is wrong and what to do, once.
pub fn told(status: Status) -> anyhow::Error {
    let details = status.get_error_details();
    let mut text = status.message().to_owned();
    if let Some(request) = details.bad_request() {
        for it in &request.field_violations {
            // What the message says already is not repeated.
            if !text.contains(&it.description) && !text.contains(it.description.trim_start_matches("line ")) {
                let separator = if text.is_empty() { "" } else { "\n  " };
                text.push_str(&format!("{separator}{}: {}", it.field, it.description));
            }
        }
    }
    match status.code() {
        Code::Unavailable if text.contains("tcp connect") || text.contains("transport error") => anyhow!(
            "the server cannot be reached ({text}): is `perennial serve` running there, and is the address right?"
        ),
        Code::Unauthenticated => {
            anyhow!("{text}; give it with --key or PERENNIAL_KEY")
        }
        _ if text.is_empty() => anyhow!("{}", status.code().description()),
        _ => anyhow!("{text}"),
    }
}

/// The last part of a resource name.
#[must_use]
pub fn bare(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
