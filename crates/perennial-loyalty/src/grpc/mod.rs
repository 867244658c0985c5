//! The edge: requests are parsed, answers rendered. The only place that knows tonic and the generated messages.

mod read;
mod render;

use perennial_api::loyalty::v1 as wire;
use perennial_api::loyalty::v1::loyalty_service_server::LoyaltyService;
use perennial_rpc::{Invalid, Page, resource, status, workspace};
use perennial_types::micros;
use tonic::{Request, Response, Status};

use crate::app::{App, OfferChange};
use crate::error::Error;
use crate::store::coupons::Filter;

type Answer<T> = Result<Response<T>, Status>;

impl From<Error> for Status {
    fn from(fault: Error) -> Self {
        status(&fault)
    }
}

/// Serves [`LoyaltyService`].
#[derive(Clone, Debug)]
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
impl LoyaltyService for Edge {
    async fn issue_coupons(
        &self,
        request: Request<wire::IssueCouponsRequest>,
    ) -> Answer<wire::IssueCouponsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let issues = read::issues(&space, it.coupons)?;
        let answers = self.app.issue(&space, &issues).await?;
        let receipts =
            issues.iter().zip(answers).map(|(issue, answer)| render::receipt(issue.id, answer)).collect();
        Ok(Response::new(wire::IssueCouponsResponse { receipts }))
    }

    async fn reserve_coupons(
        &self,
        request: Request<wire::ReserveCouponsRequest>,
    ) -> Answer<wire::ReserveCouponsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let orders = read::orders(&space, &it.coupons, true)?;
        let outcomes = self.app.reserve(&space, &orders).await?;
        Ok(Response::new(wire::ReserveCouponsResponse { results: render::results(&orders, outcomes) }))
    }

    async fn redeem_coupons(
        &self,
        request: Request<wire::RedeemCouponsRequest>,
    ) -> Answer<wire::RedeemCouponsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let orders = read::orders(&space, &it.coupons, true)?;
        let outcomes = self.app.redeem(&space, &orders).await?;
        Ok(Response::new(wire::RedeemCouponsResponse { results: render::results(&orders, outcomes) }))
    }

    async fn release_coupons(
        &self,
        request: Request<wire::ReleaseCouponsRequest>,
    ) -> Answer<wire::ReleaseCouponsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let orders = read::orders(&space, &it.coupons, false)?;
        let outcomes = self.app.release(&space, &orders).await?;
        Ok(Response::new(wire::ReleaseCouponsResponse { results: render::results(&orders, outcomes) }))
    }

    async fn get_coupon(&self, request: Request<wire::GetCouponRequest>) -> Answer<wire::Coupon> {
        let it = request.into_inner();
        let (space, code) = resource("name", &it.name, "coupons")?;
        let coupon = self.app.coupon(&space, &code.to_uppercase()).await?;
        Ok(Response::new(render::coupon(&space, coupon)))
    }

    async fn list_coupons(
        &self,
        request: Request<wire::ListCouponsRequest>,
    ) -> Answer<wire::ListCouponsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let query = ["ListCoupons", &it.parent, &it.profile, &it.offer, &it.state];
        let page = Page::<(i64, String)>::parse(it.page_size, &it.page_token, &query)?;
        let filter = Filter {
            profile: read::optional_profile("profile", &it.profile, &space)?,
            offer: Some(it.offer).filter(|it| !it.is_empty()),
            state: read::state(&it.state)?,
        };
        let found = self.app.coupons(&space, &filter, page.after.clone(), page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| (micros(it.issued_at), it.code.clone()));
        let coupons = found.into_iter().map(|it| render::coupon(&space, it)).collect();
        Ok(Response::new(wire::ListCouponsResponse { coupons, next_page_token }))
    }

    async fn get_offer(&self, request: Request<wire::GetOfferRequest>) -> Answer<wire::Offer> {
        let it = request.into_inner();
        let (space, name) = resource("name", &it.name, "offers")?;
        let stored = self.app.offer(&space, name).await?;
        Ok(Response::new(render::offer(&space, stored)))
    }

    async fn list_offers(
        &self,
        request: Request<wire::ListOffersRequest>,
    ) -> Answer<wire::ListOffersResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let page = Page::<String>::parse(it.page_size, &it.page_token, &["ListOffers", &it.parent])?;
        let after = page.after.clone().unwrap_or_default();
        let found = self.app.offers(&space, &after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.offer.name.clone());
        let offers = found.into_iter().map(|it| render::offer(&space, it)).collect();
        Ok(Response::new(wire::ListOffersResponse { offers, next_page_token }))
    }

    async fn update_offer(
        &self,
        request: Request<wire::UpdateOfferRequest>,
    ) -> Answer<wire::UpdateOfferResponse> {
        let it = request.into_inner();
        let offer = it.offer.ok_or_else(|| Invalid::new("offer", "is missing: set it"))?;
        let (space, name) = resource("offer.name", &offer.name, "offers")?;
        let change = OfferChange {
            name: name.to_owned(),
            definition: Some(offer.definition.clone()).filter(|it| !it.is_empty()),
            live: read::live(offer.state)?,
            allow_missing: it.allow_missing,
            validate_only: it.validate_only,
        };
        let (stored, done) = self.app.update_offer(&space, change).await?;
        let change = render::change(done).into();
        Ok(Response::new(wire::UpdateOfferResponse { offer: Some(render::offer(&space, stored)), change }))
    }

    async fn summarize_ledger(
        &self,
        request: Request<wire::SummarizeLedgerRequest>,
    ) -> Answer<wire::SummarizeLedgerResponse> {
        let space = workspace("parent", &request.into_inner().parent)?;
        let offers = self.app.totals(&space).await?.into_iter().map(render::totals).collect();
        Ok(Response::new(wire::SummarizeLedgerResponse { offers }))
    }

    async fn audit_ledger(
        &self,
        request: Request<wire::AuditLedgerRequest>,
    ) -> Answer<wire::AuditLedgerResponse> {
        let space = workspace("parent", &request.into_inner().parent)?;
        let audit = self.app.audit(&space).await?;
        Ok(Response::new(wire::AuditLedgerResponse {
            account_count: audit.accounts,
            entry_count: audit.entries,
            problems: audit.problems,
        }))
    }

    async fn list_exceptions(
        &self,
        request: Request<wire::ListExceptionsRequest>,
    ) -> Answer<wire::ListExceptionsResponse> {
        let it = request.into_inner();
        let space = workspace("parent", &it.parent)?;
        let query = ["ListExceptions", it.parent.as_str()];
        let page = Page::<(i64, String, String)>::parse(it.page_size, &it.page_token, &query)?;
        let found = self.app.exceptions(&space, page.after.clone(), page.limit()).await?;
        let (found, next_page_token) =
            page.cut(found, |it| (micros(it.at), it.code.clone(), it.order.clone()));
        let exceptions = found.into_iter().map(render::exception).collect();
        Ok(Response::new(wire::ListExceptionsResponse { exceptions, next_page_token }))
    }
}
