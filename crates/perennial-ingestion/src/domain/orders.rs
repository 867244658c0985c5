//! Reads products, orders and refunds of commerce events as exact money, with profit.

use jiff::Timestamp;
use perennial_types::{CartLine, Currency, OrderLine, OrderPlaced, OrderRefunded, Scalar};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::catalogue::costs::{Costs, Named, cost};
use super::flat::Flat;
use super::problem::{Problem, shortened};
use super::settings::{Purse, Settings};

const PRODUCT: [&str; 4] = ["product_id", "productId", "id", "sku"];
const ORDER: [&str; 3] = ["order_id", "orderId", "orderID"];

/// A product as a line of a cart or an order tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id, else its SKU.
    pub id: String,
    /// Its SKU, if told.
    pub sku: Option<String>,
    /// Which size or colour of the product it is, if told.
    pub variant: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Units, if told.
    pub quantity: Option<i64>,
    /// Price of one unit, minor units of the reporting currency.
    pub price: Option<i64>,
    /// Cost of one unit, likewise.
    pub cost: Option<i64>,
}

impl Product {
    /// It as a line of a cart.
    pub fn cart_line(self) -> CartLine {
        CartLine {
            product_id: self.id,
            name: self.name,
            quantity: self.quantity.unwrap_or(1),
            price: self.price.unwrap_or(0),
        }
    }
}

/// The purse of an event: its currency, and what that is worth.
///
/// # Errors
/// The problem with `properties.currency`.
pub fn purse(properties: &Flat, settings: &Settings, at: Timestamp) -> Result<Purse, Problem> {
    let field = "properties.currency";
    let from = match properties.word(&["currency"]) {
        None => settings.currency,
        Some(code) => Currency::parse(&code).map_err(|_| {
            let quoted = shortened(&code, 20);
            Problem::new(
                field,
                format!("{quoted:?} is not a currency"),
                "use its ISO 4217 letters, such as EUR",
            )
        })?,
    };
    Ok(Purse { from, into: settings.currency, rate: settings.rate(field, from, at)? })
}

/// The currency an event names, if it is one: the first one seen becomes the workspace's.
pub fn named_currency(properties: &Flat) -> Option<Currency> {
    Currency::parse(&properties.word(&["currency"])?).ok()
}

/// Reads one product; `path` is where it stands, such as `properties.products.0`.
///
/// # Errors
/// The problem with one of its fields.
pub fn product(path: &str, flat: &Flat, purse: &Purse) -> Result<Product, Problem> {
    let id = flat.word(&PRODUCT).ok_or_else(|| {
        Problem::new(format!("{path}.product_id"), "it is missing", "send the product's id or SKU")
    })?;
    let amount =
        |name: &str| flat.first(&[name]).map(|it| purse.minor(&format!("{path}.{name}"), it)).transpose();
    let quantity = match flat.first(&["quantity"]) {
        None => None,
        Some(value) => Some(units(&format!("{path}.quantity"), value)?),
    };
    Ok(Product {
        id,
        sku: flat.word(&["sku"]),
        variant: flat.word(&["variant"]),
        name: flat.word(&["name"]),
        category: flat.word(&["category"]),
        quantity,
        price: amount("price")?,
        cost: amount("cost")?,
    })
}

fn units(field: &str, value: &Scalar) -> Result<i64, Problem> {
    let number = value.number().filter(|it| (0.0..=1e9).contains(it));
    #[expect(clippy::cast_possible_truncation, reason = "between nought and a thousand million")]
    let units = number.map(|it| it.round() as i64);
    units.ok_or_else(|| {
        let quoted = shortened(&value.to_string(), 40);
        Problem::new(field, format!("{quoted:?} is no number of units"), "send a number from 0")
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lists<'a> {
    #[serde(borrow)]
    products: Option<&'a RawValue>,
}

/// Reads `properties.products`; absent is empty.
///
/// # Errors
/// The problem with the list or one of its products.
pub fn products(raw: Option<&RawValue>, purse: &Purse) -> Result<Vec<Product>, Problem> {
    let lists: Lists<'_> =
        raw.map(|it| serde_json::from_str(it.get()).unwrap_or_default()).unwrap_or_default();
    let Some(list) = lists.products else { return Ok(Vec::new()) };
    let items: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|_| Problem::new("properties.products", "it is not a list", "send a list of products"))?;
    let mut found = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        let path = format!("properties.products.{n}");
        let flat = Flat::parse(item.get()).map_err(|_| {
            Problem::new(path.clone(), "it is not an object", "send an object with product_id")
        })?;
        found.push(product(&path, &flat, purse)?);
    }
    Ok(found)
}

/// The order an event is about.
///
/// # Errors
/// The problem if it names none.
pub fn order_id(properties: &Flat) -> Result<String, Problem> {
    properties
        .word(&ORDER)
        .ok_or_else(|| Problem::new("properties.order_id", "it is missing", "send the order's id as text"))
}

/// Whether an event says what an order is worth.
pub fn has_amount(properties: &Flat, products: &[Product]) -> bool {
    properties.first(&["revenue", "subtotal", "total"]).is_some()
        || products.iter().any(|it| it.price.is_some())
}

/// Reads an order, and how it names the products whose cost it does not tell. Revenue is what was paid for goods: after
/// discounts, without shipping and tax.
///
/// # Errors
/// The problem with one of its fields.
pub fn placed(
    properties: &Flat,
    products: Vec<Product>,
    purse: &Purse,
    settings: &Settings,
) -> Result<(OrderPlaced, Vec<Named>), Problem> {
    let order_id = order_id(properties)?;
    let amount = |name: &str| -> Result<Option<i64>, Problem> {
        properties.first(&[name]).map(|it| purse.minor(&format!("properties.{name}"), it)).transpose()
    };
    let discount = amount("discount")?.unwrap_or(0);
    let cost_total = amount("cost_total")?;
    let uncosted = products.iter().enumerate().filter(|(_, it)| it.cost.is_none() && cost_total.is_none());
    let uncosted = uncosted
        .map(|(line, it)| Named {
            line,
            sku: it.sku.clone(),
            id: Some(it.id.clone()),
            variant: it.variant.clone(),
        })
        .collect();
    let lines: Vec<OrderLine> = products
        .into_iter()
        .map(|it| OrderLine {
            product_id: it.id,
            category: it.category,
            quantity: it.quantity.unwrap_or(1),
            price: it.price.unwrap_or(0),
            cost: it.cost,
        })
        .collect();
    let goods = lines.iter().fold(0_i64, |sum, it| sum.saturating_add(it.quantity.saturating_mul(it.price)));
    let revenue = match (amount("revenue")?, amount("subtotal")?, amount("total")?) {
        (Some(revenue), ..) => revenue,
        (None, Some(subtotal), _) => subtotal,
        (None, None, Some(total)) => {
            total.saturating_sub(amount("shipping")?.unwrap_or(0)).saturating_sub(amount("tax")?.unwrap_or(0))
        }
        _ if !lines.is_empty() => goods.saturating_sub(discount),
        _ => {
            let remedy = "send revenue, or subtotal, or total, or products with prices";
            return Err(Problem::new("properties.revenue", "nothing tells what the order is worth", remedy));
        }
    };
    if revenue < 0 {
        let remedy = "send Order Refunded for money that goes back";
        return Err(Problem::new("properties.revenue", "it is negative", remedy));
    }
    let (profit, cost_known_per_mille) = match cost_total {
        Some(cost) => (revenue.saturating_sub(cost), 1_000),
        None => profit(revenue, &lines, settings.default_margin_per_mille),
    };
    let order = OrderPlaced {
        order_id,
        currency: settings.currency,
        revenue,
        discount,
        profit,
        cost_known_per_mille,
        coupon: properties.word(&["coupon"]),
        lines,
    };
    Ok((order, uncosted))
}

/// Gives lines the cost the catalogue knows, and the order the profit that follows. A cost in a currency without a rate
/// on that day stays unknown.
pub fn fill(order: &mut OrderPlaced, uncosted: &[Named], costs: &Costs, at: Timestamp, settings: &Settings) {
    let mut filled = false;
    for named in uncosted {
        let Some(cost) = cost(named, costs) else { continue };
        let Ok(rate) = settings.rate("cost_currency", cost.currency, at) else { continue };
        let purse = Purse { from: cost.currency, into: settings.currency, rate };
        if let Some(line) = order.lines.get_mut(named.line) {
            line.cost = Some(purse.convert(cost.minor));
            filled = true;
        }
    }
    if filled {
        let margin = settings.default_margin_per_mille;
        (order.profit, order.cost_known_per_mille) = profit(order.revenue, &order.lines, margin);
    }
}

/// Profit, and the share of revenue whose cost is known in per mille. A discount on the whole order is shared by the
/// lines in proportion to their price. Costs of some lines say nothing about the others where no line has a price.
fn profit(revenue: i64, lines: &[OrderLine], margin_per_mille: i64) -> (i64, i64) {
    let worth = |line: &OrderLine| i128::from(line.quantity) * i128::from(line.price);
    let all: i128 = lines.iter().map(worth).sum();
    let known: i128 = lines.iter().filter(|it| it.cost.is_some()).map(worth).sum();
    let cost: i128 = lines.iter().filter_map(|it| Some(i128::from(it.quantity) * i128::from(it.cost?))).sum();
    let revenue = i128::from(revenue);
    let whole = !lines.is_empty() && lines.iter().all(|it| it.cost.is_some());
    let (revenue_known, share, cost) = match all {
        _ if whole => (revenue, 1_000, cost),
        ..=0 => (0, 0, 0),
        all => (revenue * known / all, 1_000 * known / all, cost),
    };
    let profit =
        revenue_known - cost + rounded((revenue - revenue_known) * i128::from(margin_per_mille), 1_000);
    (i64::try_from(profit).unwrap_or(i64::MAX), i64::try_from(share).unwrap_or(0))
}

fn rounded(number: i128, by: i128) -> i128 {
    (number + number.signum() * by / 2) / by
}

/// Reads a refund: how much of the goods' price went back; absent is all.
///
/// # Errors
/// The problem with one of its fields.
pub fn refunded(properties: &Flat, products: &[Product], purse: &Purse) -> Result<OrderRefunded, Problem> {
    let order_id = order_id(properties)?;
    let amount = |name: &str| -> Result<Option<i64>, Problem> {
        properties.first(&[name]).map(|it| purse.minor(&format!("properties.{name}"), it)).transpose()
    };
    let goods = products.iter().try_fold(0_i64, |sum, it| {
        Some(sum.saturating_add(it.quantity.unwrap_or(1).saturating_mul(it.price?)))
    });
    let amount = match (amount("revenue")?, amount("total")?, amount("value")?) {
        (Some(revenue), ..) => Some(revenue),
        (None, Some(total), _) => Some(
            total
                .saturating_sub(amount("shipping")?.unwrap_or(0))
                .saturating_sub(amount("tax")?.unwrap_or(0)),
        ),
        (None, None, Some(value)) => Some(value),
        _ => goods.filter(|_| !products.is_empty()),
    };
    // Some senders write what goes back as a negative amount.
    Ok(OrderRefunded { order_id, amount: amount.map(i64::saturating_abs) })
}
