//! The office that takes receipts for erasures, where a test has no ingestion.

use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use perennial_api::profile::v1::privacy_service_server::{PrivacyService, PrivacyServiceServer};
use perennial_api::profile::v1::{
    EraseProfileRequest, ErasedAddress, Erasure, ExportProfileRequest, ExportProfileResponse,
    GetErasureRequest, ListErasuresRequest, ListErasuresResponse, ReadErasedAddressesRequest,
    ReadErasedAddressesResponse, RecordErasureReceiptRequest, RecordErasureReceiptResponse,
};
use tonic::{Request, Response, Status};

/// Keeps the receipts that come, and tells the addresses it was given.
#[derive(Clone, Debug, Default)]
pub struct Office {
    /// Receipts, in the order in which they came.
    pub receipts: Arc<Mutex<Vec<RecordErasureReceiptRequest>>>,
    /// Addresses of whoever is erased.
    pub addresses: Arc<Mutex<Vec<ErasedAddress>>>,
}

impl Office {
    /// The gRPC service.
    #[must_use]
    pub fn server(&self) -> PrivacyServiceServer<Self> {
        PrivacyServiceServer::new(self.clone())
    }
}

fn not_here() -> Status {
    Status::unimplemented("not in a test")
}

#[tonic::async_trait]
impl PrivacyService for Office {
    type ExportProfileStream = BoxStream<'static, Result<ExportProfileResponse, Status>>;

    async fn record_erasure_receipt(
        &self,
        request: Request<RecordErasureReceiptRequest>,
    ) -> Result<Response<RecordErasureReceiptResponse>, Status> {
        self.receipts.lock().unwrap().push(request.into_inner());
        Ok(Response::new(RecordErasureReceiptResponse {}))
    }

    async fn read_erased_addresses(
        &self,
        _: Request<ReadErasedAddressesRequest>,
    ) -> Result<Response<ReadErasedAddressesResponse>, Status> {
        let addresses = self.addresses.lock().unwrap().clone();
        Ok(Response::new(ReadErasedAddressesResponse { addresses }))
    }

    async fn export_profile(
        &self,
        _: Request<ExportProfileRequest>,
    ) -> Result<Response<Self::ExportProfileStream>, Status> {
        Err(not_here())
    }

    async fn erase_profile(&self, _: Request<EraseProfileRequest>) -> Result<Response<Erasure>, Status> {
        Err(not_here())
    }

    async fn get_erasure(&self, _: Request<GetErasureRequest>) -> Result<Response<Erasure>, Status> {
        Err(not_here())
    }

    async fn list_erasures(
        &self,
        _: Request<ListErasuresRequest>,
    ) -> Result<Response<ListErasuresResponse>, Status> {
        Err(not_here())
    }
}
