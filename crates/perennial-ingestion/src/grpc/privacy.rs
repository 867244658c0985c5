//! What a person may ask for: an export of all that is known, and to be forgotten.

use futures::Stream;
use perennial_api::profile::v1 as wire;
use perennial_api::profile::v1::privacy_service_server::PrivacyService;
use perennial_rpc::{Field, Invalid, Page, request_id, resource, time, workspace};
use perennial_types::{Workspace, micros};
use std::pin::Pin;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Edge;
use super::profile::{named, resource_name};
use crate::app::{App, Progress};
use crate::store::erasures::{Erasure, Receipt, Store};

type Answer<T> = Result<Response<T>, Status>;

/// Rows in one part of an export.
const ROWS_A_PART: usize = 200;

#[tonic::async_trait]
impl PrivacyService for Edge {
    type ExportProfileStream =
        Pin<Box<dyn Stream<Item = Result<wire::ExportProfileResponse, Status>> + Send>>;

    async fn export_profile(
        &self,
        request: Request<wire::ExportProfileRequest>,
    ) -> Answer<Self::ExportProfileStream> {
        let (workspace, id) = named("name", &request.into_inner().name)?;
        let mut parts = Vec::new();
        for (store, rows) in self.app.export(&workspace, id).await? {
            let part = |rows: &[String]| wire::ExportProfileResponse {
                service: crate::NAME.to_owned(),
                store: store.to_owned(),
                rows_json: rows.to_vec(),
            };
            parts.extend(rows.chunks(ROWS_A_PART).map(part).map(Ok));
        }
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }

    async fn erase_profile(&self, request: Request<wire::EraseProfileRequest>) -> Answer<wire::Erasure> {
        let message = request.into_inner();
        let (workspace, id) = named("name", &message.name)?;
        // Whoever is erased stays so: a repeated request needs no memory of its own.
        request_id(&message.request_id)?;
        let progress = self.app.erase(&workspace, id).await?;
        Ok(Response::new(shown(&self.app, &workspace, &progress)))
    }

    async fn get_erasure(&self, request: Request<wire::GetErasureRequest>) -> Answer<wire::Erasure> {
        let (workspace, id) = erasure("name", &request.into_inner().name)?;
        let progress = self.app.erasure(&workspace, id).await?;
        Ok(Response::new(shown(&self.app, &workspace, &progress)))
    }

    async fn list_erasures(
        &self,
        request: Request<wire::ListErasuresRequest>,
    ) -> Answer<wire::ListErasuresResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListErasures", message.parent.as_str()];
        let page = Page::<(i64, Uuid)>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.erasures(&workspace, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| (micros(it.created), it.id));
        let erasures = found.iter().map(|it| brief(&self.app, &workspace, it)).collect();
        Ok(Response::new(wire::ListErasuresResponse { erasures, next_page_token }))
    }

    async fn record_erasure_receipt(
        &self,
        request: Request<wire::RecordErasureReceiptRequest>,
    ) -> Answer<wire::RecordErasureReceiptResponse> {
        let message = request.into_inner();
        let (workspace, id) = erasure("name", &message.name)?;
        let (space, profile) = named("profile", &message.profile)?;
        if space != workspace {
            return Err(Invalid::new("profile", "is not of the erasure's workspace: name one of it").into());
        }
        if message.service.is_empty() {
            return Err(Invalid::new("service", "is missing: set it").into());
        }
        let store = |it: wire::StoreReceipt| Store {
            name: it.store,
            erased: it.erased_count,
            unlinked: it.unlinked_count,
            kept: it.kept,
        };
        let stores = message.stores.into_iter().map(store).collect();
        let receipt = Receipt { service: message.service, profile, stores };
        self.app.receive(&workspace, id, &receipt).await?;
        Ok(Response::new(wire::RecordErasureReceiptResponse {}))
    }

    async fn read_erased_addresses(
        &self,
        request: Request<wire::ReadErasedAddressesRequest>,
    ) -> Answer<wire::ReadErasedAddressesResponse> {
        let (workspace, id) = erasure("name", &request.into_inner().name)?;
        let addresses = self.app.erased_addresses(&workspace, id).await?;
        let address = |(channel, address)| wire::ErasedAddress { channel, address };
        let addresses = addresses.into_iter().map(address).collect();
        Ok(Response::new(wire::ReadErasedAddressesResponse { addresses }))
    }
}

fn erasure(field: &str, name: &str) -> Result<(Workspace, Uuid), Invalid> {
    let (workspace, id) = resource(field, name, "erasures")?;
    let id = Uuid::parse_str(id).map_err(|_| "is wrong: its last part is a UUID").field(field)?;
    Ok((workspace, id))
}

fn brief(app: &App, workspace: &Workspace, it: &Erasure) -> wire::Erasure {
    let state = if it.done.is_some() { wire::erasure::State::Done } else { wire::erasure::State::Running };
    wire::Erasure {
        name: format!("{}/erasures/{}", workspace.resource(), it.id),
        profile: resource_name(workspace, it.profile),
        profile_count: it.profiles,
        state: state.into(),
        create_time: Some(time::to_wire(it.created)),
        done_time: it.done.map(time::to_wire),
        backups_expire_time: Some(time::to_wire(app.backups_expire(it))),
        receipts: Vec::new(),
        awaited_services: Vec::new(),
    }
}

fn shown(app: &App, workspace: &Workspace, progress: &Progress) -> wire::Erasure {
    let receipts = progress.stores.iter().map(|(service, it)| wire::StoreReceipt {
        service: service.clone(),
        store: it.name.clone(),
        erased_count: it.erased,
        unlinked_count: it.unlinked,
        kept: it.kept.clone(),
    });
    wire::Erasure {
        receipts: receipts.collect(),
        awaited_services: progress.awaited.clone(),
        ..brief(app, workspace, &progress.erasure)
    }
}
