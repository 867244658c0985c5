//! The catalogue: products, their prices, and their changes.

use perennial_api::catalog::v1 as wire;
use perennial_api::catalog::v1::catalog_service_server::CatalogService;
use perennial_rpc::{Invalid, Page, resource, time, workspace};
use perennial_types::{Currency, Money, Workspace, micros};
use tonic::{Request, Response, Status};

use super::Edge;
use super::product::{Mask, named, outcome, resource_name, shown, told, unescaped};
use crate::domain::catalogue::guard::{Kind, ProductChange};
use crate::store::prices::Entry;
use crate::store::products::Filter;

type Answer<T> = Result<Response<T>, Status>;

/// Most products of one `BatchUpsertProducts`.
const PRODUCTS: usize = 2_500;

#[tonic::async_trait]
impl CatalogService for Edge {
    async fn batch_upsert_products(
        &self,
        request: Request<wire::BatchUpsertProductsRequest>,
    ) -> Answer<wire::BatchUpsertProductsResponse> {
        let wire::BatchUpsertProductsRequest { parent, products, update_mask, validate_only } =
            request.into_inner();
        let workspace = workspace("parent", &parent)?;
        if products.len() > PRODUCTS {
            let problem = format!("holds {}: send at most {PRODUCTS} at once", products.len());
            return Err(Invalid::new("products", problem).into());
        }
        let mask = Mask::parse(update_mask.map(|it| it.paths))?;
        let (settings, now) =
            self.app.catalogue_settings(&workspace, named(&products), validate_only).await?;
        let told = products.into_iter().map(|it| told(it, &mask, &settings, now)).collect();
        let outcomes = self.app.upsert_products(&workspace, told, validate_only).await?;
        let outcomes = outcomes.into_iter().map(outcome).collect();
        Ok(Response::new(wire::BatchUpsertProductsResponse { outcomes }))
    }

    async fn get_product(&self, request: Request<wire::GetProductRequest>) -> Answer<wire::Product> {
        let message = request.into_inner();
        let (workspace, id) = product("name", &message.name)?;
        let found = self.app.product(&workspace, &id).await?;
        Ok(Response::new(shown(&workspace, found)))
    }

    async fn list_products(
        &self,
        request: Request<wire::ListProductsRequest>,
    ) -> Answer<wire::ListProductsResponse> {
        let wire::ListProductsRequest { parent, page_size, page_token, group_id, category } =
            request.into_inner();
        let workspace = workspace("parent", &parent)?;
        let query = ["ListProducts", parent.as_str(), group_id.as_str(), category.as_str()];
        let page = Page::<String>::parse(page_size, &page_token, &query)?;
        let filter = Filter { group: group_id, category };
        let after = page.after.as_deref().unwrap_or_default();
        let found = self.app.products(&workspace, &filter, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.id.clone());
        let products = found.into_iter().map(|it| shown(&workspace, it)).collect();
        Ok(Response::new(wire::ListProductsResponse { products, next_page_token }))
    }

    async fn list_categories(
        &self,
        request: Request<wire::ListCategoriesRequest>,
    ) -> Answer<wire::ListCategoriesResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListCategories", message.parent.as_str()];
        let page = Page::<String>::parse(message.page_size, &message.page_token, &query)?;
        let after = page.after.as_deref().unwrap_or_default();
        let found = self.app.categories(&workspace, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.0.clone());
        let categories =
            found.into_iter().map(|(path, product_count)| wire::Category { path, product_count }).collect();
        Ok(Response::new(wire::ListCategoriesResponse { categories, next_page_token }))
    }

    async fn list_prices(
        &self,
        request: Request<wire::ListPricesRequest>,
    ) -> Answer<wire::ListPricesResponse> {
        let message = request.into_inner();
        let (workspace, id) = product("parent", &message.parent)?;
        let query = ["ListPrices", message.parent.as_str()];
        let page = Page::<i64>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.prices(&workspace, &id, page.after.unwrap_or(i64::MAX), page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| micros(it.since));
        let prices = found.into_iter().map(price).collect();
        Ok(Response::new(wire::ListPricesResponse { prices, next_page_token }))
    }

    async fn list_changes(
        &self,
        request: Request<wire::ListChangesRequest>,
    ) -> Answer<wire::ListChangesResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        if message.after_position < 0 {
            let problem = format!("is {}: send 0, or the position of a change", message.after_position);
            return Err(Invalid::new("after_position", problem).into());
        }
        let after = message.after_position.to_string();
        let query = ["ListChanges", message.parent.as_str(), after.as_str()];
        let page = Page::<i64>::parse(message.page_size, &message.page_token, &query)?;
        let after = page.after.unwrap_or(message.after_position);
        let found = self.app.product_changes(&workspace, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.0);
        let changes = found.into_iter().map(|(position, it)| change(&workspace, position, it)).collect();
        Ok(Response::new(wire::ListChangesResponse { changes, next_page_token }))
    }
}

fn product(field: &str, name: &str) -> Result<(Workspace, String), Invalid> {
    let (workspace, id) = resource(field, name, "products")?;
    let id = unescaped(id).ok_or_else(|| {
        Invalid::new(field, "is wrong: write % as %25 and / as %2F, and every other character as it is")
    })?;
    Ok((workspace, id))
}

/// The letters of a currency, empty for none.
pub fn code(money: Option<Money>) -> String {
    money.map(|it| it.currency).as_ref().map(Currency::code).unwrap_or_default().to_owned()
}

fn price(it: Entry) -> wire::Price {
    wire::Price {
        start_time: Some(time::to_wire(it.since)),
        currency: code(it.price.map(|it| it.now)),
        price_minor: it.price.map(|it| it.now.minor),
        list_price_minor: it.price.and_then(|it| it.list),
        cost_currency: code(it.cost),
        cost_minor: it.cost.map(|it| it.minor),
    }
}

fn change(workspace: &Workspace, position: i64, it: ProductChange) -> wire::ProductChange {
    use wire::product_change::Kind as Word;
    let kind = match it.kind {
        Kind::New => Word::New,
        Kind::PriceDrop => Word::PriceDrop,
        Kind::BackInStock => Word::BackInStock,
    };
    wire::ProductChange {
        position,
        kind: kind.into(),
        product: resource_name(workspace, &it.product),
        change_time: Some(time::to_wire(it.at)),
        currency: code(it.price),
        price_minor: it.price.map(|it| it.minor),
        old_price_minor: it.old_price,
        product_id: it.product,
    }
}
