//! Everything out again, in messages of bounded size.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use perennial_api::ingestion::v1 as wire;
use perennial_api::ingestion::v1::export_service_server::ExportService;
use perennial_rpc::{Invalid, time, workspace};
use perennial_types::{Currency, IdentifierKind, Timestamp, Workspace};
use prost::Message;
use tonic::{Request, Response, Status};

use super::Edge;
use super::profile::resource_name;
use crate::app::{Gone, OrdersOf};
use crate::domain::sold::{Return, Sold, Telling, Within};
use crate::store::profiles::Profile;

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// What one message holds at most, in bytes, unless it is a single item.
const BYTES: usize = 1 << 20;
/// And how many items.
const ITEMS: usize = 1_000;

#[tonic::async_trait]
impl ExportService for Edge {
    type ExportEventsStream = Answers<wire::ExportEventsResponse>;
    type ExportOrdersStream = Answers<wire::ExportOrdersResponse>;

    async fn export_events(
        &self,
        request: Request<wire::ExportEventsRequest>,
    ) -> Result<Response<Self::ExportEventsStream>, Status> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let start = message.start_time.map(|it| time::from_wire(&it, "start_time")).transpose()?;
        let end = message.end_time.map(|it| time::from_wire(&it, "end_time")).transpose()?;
        let within = within(start, end)?;
        let export = self.app.export_events(workspace.clone(), within);
        let pages = futures::stream::try_unfold(export, move |mut export| {
            let workspace = workspace.clone();
            async move {
                let Some(found) = export.next().await? else { return Ok(None) };
                let events = found.into_iter().map(|it| event(&workspace, it)).collect();
                let read_count = i64::try_from(export.read).unwrap_or(i64::MAX);
                let answers = portions(events)
                    .into_iter()
                    .map(move |events| Ok::<_, Status>(wire::ExportEventsResponse { events, read_count }));
                Ok::<_, Status>(Some((futures::stream::iter(answers), export)))
            }
        });
        Ok(Response::new(pages.try_flatten().boxed()))
    }

    async fn export_orders(
        &self,
        request: Request<wire::ExportOrdersRequest>,
    ) -> Result<Response<Self::ExportOrdersStream>, Status> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let start = message.start_time.map(|it| time::from_wire(&it, "start_time")).transpose()?;
        let end = message.end_time.map(|it| time::from_wire(&it, "end_time")).transpose()?;
        let within = within(start, end)?;
        let export = self.app.export_orders(workspace.clone(), within).await?;
        let pages = futures::stream::try_unfold(export, move |mut export| {
            let workspace = workspace.clone();
            async move {
                let Some(found) = export.next().await? else { return Ok(None) };
                let currency = export.currency();
                let orders = found.into_iter().flat_map(|it| orders(&workspace, currency, it)).collect();
                let read_count = i64::try_from(export.read).unwrap_or(i64::MAX);
                let answers = portions(orders)
                    .into_iter()
                    .map(move |orders| Ok::<_, Status>(wire::ExportOrdersResponse { orders, read_count }));
                Ok::<_, Status>(Some((futures::stream::iter(answers), export)))
            }
        });
        Ok(Response::new(pages.try_flatten().boxed()))
    }
}

fn within(start: Option<Timestamp>, end: Option<Timestamp>) -> Result<Within, Invalid> {
    match (start, end) {
        (Some(start), Some(end)) if start >= end => {
            Err(Invalid::new("end_time", "is not after start_time: set a later one, or leave it out"))
        }
        _ => Ok(Within { start, end }),
    }
}

/// Items in messages of bounded size; one empty message if there are none, which tells how far it is.
fn portions<T: Message>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut portions = vec![Vec::new()];
    let mut bytes = 0;
    for item in items {
        let size = item.encoded_len();
        let is_full = portions
            .last()
            .is_some_and(|it: &Vec<T>| !it.is_empty() && (bytes + size > BYTES || it.len() >= ITEMS));
        if is_full {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = portions.last_mut() {
            last.push(item);
        }
    }
    portions
}

fn event(workspace: &Workspace, it: Gone) -> wire::LoggedEvent {
    wire::LoggedEvent {
        profile: resource_name(workspace, it.profile),
        message_id: it.message_id,
        call: it.call,
        event: it.name,
        event_time: Some(time::to_wire(it.at)),
        receive_time: Some(time::to_wire(it.received)),
        call_json: it.json,
    }
}

fn orders(workspace: &Workspace, currency: Currency, it: OrdersOf) -> Vec<wire::ExportedOrder> {
    let OrdersOf { profile, orders } = it;
    let Profile { id, person, identifiers, .. } = &profile;
    let first = |kind| {
        let found = identifiers.iter().find(|it| it.kind == kind);
        found.map(|it| it.value.clone()).unwrap_or_default()
    };
    let order = |it: Sold| wire::ExportedOrder {
        profile: resource_name(workspace, *id),
        user_id: first(IdentifierKind::UserId),
        email: person.email(identifiers).unwrap_or_default(),
        phone: person.phone(identifiers).unwrap_or_default(),
        anonymous_id: first(IdentifierKind::AnonymousId),
        order_id: it.order_id,
        currency: it.currency.unwrap_or(currency).code().to_owned(),
        placement: it.placed.map(|(at, telling)| placement(at, telling)),
        returns: it.returns.into_iter().map(went_back).collect(),
        net_revenue_minor: it.net_revenue,
        net_profit_minor: it.net_profit,
    };
    orders.into_iter().map(order).collect()
}

fn placement(at: Timestamp, it: Telling) -> wire::OrderPlacement {
    let Telling { message_id, order, products, channel, country } = it;
    let lines = order.lines.into_iter().zip(products).map(|(line, name)| wire::OrderPlacementLine {
        product_id: line.product_id,
        product_name: name.unwrap_or_default(),
        category: line.category.unwrap_or_default(),
        quantity: line.quantity,
        price_minor: line.price,
        cost_minor: line.cost,
    });
    wire::OrderPlacement {
        message_id,
        order_time: Some(time::to_wire(at)),
        revenue_minor: order.revenue,
        discount_minor: order.discount,
        profit_minor: order.profit,
        cost_known_per_mille: order.cost_known_per_mille,
        coupon: order.coupon.unwrap_or_default(),
        channel: channel.unwrap_or_default(),
        country: country.unwrap_or_default(),
        lines: lines.collect(),
    }
}

fn went_back(it: Return) -> wire::OrderReturn {
    wire::OrderReturn {
        message_id: it.message_id,
        refund_id: it.refund_id.unwrap_or_default(),
        return_time: Some(time::to_wire(it.at)),
        amount_minor: it.amount,
    }
}
