//! Facts to be read again, where a test has no ingestion but its feed.

use perennial_api::feed::v1 as wire;
use perennial_api::profile::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use perennial_api::profile::v1::{
    BatchGetContactsRequest, BatchGetContactsResponse, BatchGetProfilesRequest, BatchGetProfilesResponse,
    GetProfileRequest, ListProfilesRequest, ListProfilesResponse, LookupProfileRequest, Profile,
    ReadFactsRequest, ReadFactsResponse,
};
use perennial_feed::{Cursor, Feed, PARTITIONS};
use perennial_types::ProfileId;
use prost::Message as _;
use tonic::{Request, Response, Status};

/// Reads a profile's facts from a feed, as long as nobody was merged.
#[derive(Clone)]
pub struct Facts(pub Feed);

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

impl Facts {
    /// The gRPC service.
    #[must_use]
    pub fn server(&self) -> ProfileServiceServer<Self> {
        ProfileServiceServer::new(self.clone())
    }
}

fn not_here() -> Status {
    Status::unimplemented("not in a test")
}

#[tonic::async_trait]
impl ProfileService for Facts {
    async fn read_facts(
        &self,
        request: Request<ReadFactsRequest>,
    ) -> Result<Response<ReadFactsResponse>, Status> {
        let name = request.into_inner().name;
        let id = ProfileId::parse(name.rsplit('/').next().unwrap()).unwrap();
        let cursor = Cursor { partition: id.partition(PARTITIONS), after_seq: 0, complete_after: None };
        let read = self.0.read(&[cursor], 10_000).await.map_err(|it| perennial_rpc::status(&it))?;
        let of_profile =
            read.into_iter().flat_map(|it| it.records).filter(|it| it.profile == id && it.kind == "fact");
        let records = of_profile.map(|it| wire::Record::from(it).encode_to_vec()).collect();
        Ok(Response::new(ReadFactsResponse { records, next_page_token: String::new() }))
    }

    async fn get_profile(&self, _: Request<GetProfileRequest>) -> Result<Response<Profile>, Status> {
        Err(not_here())
    }

    async fn lookup_profile(&self, _: Request<LookupProfileRequest>) -> Result<Response<Profile>, Status> {
        Err(not_here())
    }

    async fn list_profiles(
        &self,
        _: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        Err(not_here())
    }

    async fn batch_get_profiles(
        &self,
        _: Request<BatchGetProfilesRequest>,
    ) -> Result<Response<BatchGetProfilesResponse>, Status> {
        Err(not_here())
    }

    async fn batch_get_contacts(
        &self,
        _: Request<BatchGetContactsRequest>,
    ) -> Result<Response<BatchGetContactsResponse>, Status> {
        Err(not_here())
    }
}
