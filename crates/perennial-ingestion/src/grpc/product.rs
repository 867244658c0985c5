//! A product on the wire: read with every check there is, and written.

use perennial_api::catalog::v1 as wire;
use perennial_rpc::{Invalid, time};
use perennial_types::{Currency, Money, Timestamp, Workspace};

use super::catalog::code;
use crate::domain::catalogue::product::{Availability, Change, Price, Product, Stock, Told};
use crate::domain::problem::{Problem, shortened};
use crate::domain::settings::Settings;

type Outcome = Result<Change, Problem>;

/// The longest id, SKU, group, variant or brand, in characters.
const WORD: usize = 200;
/// The longest title or category.
const TITLE: usize = 1_000;
/// The longest address.
const ADDRESS: usize = 2_000;

/// Fields that can be told, each group under its first name: what stands in one group is told together.
const FIELDS: [&[&str]; 11] = [
    &["sku"],
    &["group_id"],
    &["variant"],
    &["title"],
    &["brand"],
    &["category"],
    &["url"],
    &["image_url"],
    &["price_minor", "currency", "list_price_minor"],
    &["cost_minor", "cost_currency"],
    &["availability", "stock_quantity"],
];

/// Which fields are told even if they are not set; none: those that are set.
pub struct Mask(Option<Vec<&'static str>>);

impl Mask {
    /// Reads the paths of a field mask.
    ///
    /// # Errors
    /// If one of them is no field that can be told.
    pub fn parse(paths: Option<Vec<String>>) -> Result<Self, Invalid> {
        let Some(paths) = paths.filter(|it| !it.is_empty()) else { return Ok(Self(None)) };
        let group = |path: &String| {
            let found = FIELDS.iter().find(|it| it.contains(&path.as_str()));
            found.map(|it| it[0]).ok_or_else(|| {
                let known: Vec<&str> = FIELDS.iter().flat_map(|it| it.iter().copied()).collect();
                let path = shortened(path, 60);
                Invalid::new("update_mask", format!("names {path:?}: use {}", known.join(", ")))
            })
        };
        Ok(Self(Some(paths.iter().map(group).collect::<Result<_, _>>()?)))
    }

    /// Whether a field is told, given whether it is set.
    fn tells(&self, field: &str, set: bool) -> bool {
        self.0.as_ref().map_or(set, |it| it.contains(&field))
    }
}

/// Whether there are amounts at all, and the first currency they name.
pub fn named(products: &[wire::Product]) -> Option<Option<Currency>> {
    let amount = |it: &&wire::Product| it.price_minor.is_some() || it.cost_minor.is_some();
    products.iter().any(|it| amount(&it)).then(|| {
        let codes = products.iter().filter(amount).flat_map(|it| [&it.currency, &it.cost_currency]);
        codes.into_iter().find_map(|it| Currency::parse(it).ok())
    })
}

/// Reads what a feed says of a product.
///
/// # Errors
/// The first field that is wrong.
pub fn told(it: wire::Product, mask: &Mask, settings: &Settings, now: Timestamp) -> Result<Told, Problem> {
    if it.product_id.trim().is_empty() {
        return Err(Problem::new("product_id", "it is missing", "send the product's id"));
    }
    let id = text("product_id", &it.product_id, WORD)?;
    let word = |field: &str, told: &str, most: usize| -> Result<Option<String>, Problem> {
        let told = text(field, told, most)?;
        Ok(mask.tells(field, !told.is_empty()).then_some(told))
    };
    let address = |field: &str, told: &str| {
        let told = word(field, told, ADDRESS)?;
        let sound = |it: &String| it.is_empty() || it.starts_with("https://") || it.starts_with("http://");
        if let Some(odd) = told.as_ref().filter(|it| !sound(it)) {
            let reason = format!("{:?} is no address", shortened(odd, 60));
            return Err(Problem::new(field, reason, "send one that begins with https:// or http://"));
        }
        Ok(told)
    };
    Ok(Told {
        sku: word("sku", &it.sku, WORD)?,
        group: word("group_id", &it.group_id, WORD)?,
        variant: word("variant", &it.variant, WORD)?,
        title: word("title", &it.title, TITLE)?,
        brand: word("brand", &it.brand, WORD)?,
        category: word("category", &it.category, TITLE)?,
        url: address("url", &it.url)?,
        image_url: address("image_url", &it.image_url)?,
        price: price(&it, mask, settings)?,
        cost: cost(&it, mask, settings, now)?,
        stock: stock(&it, mask)?,
        id,
    })
}

fn text(field: &str, told: &str, most: usize) -> Result<String, Problem> {
    let told = told.trim();
    if told.chars().count() > most {
        return Err(Problem::new(field, format!("it has more than {most} characters"), "shorten it"));
    }
    if told.chars().any(char::is_control) {
        return Err(Problem::new(field, "it holds control characters", "send plain text on one line"));
    }
    Ok(told.to_owned())
}

fn not_negative(field: &str, told: Option<i64>) -> Result<Option<i64>, Problem> {
    match told {
        Some(told) if told < 0 => {
            Err(Problem::new(field, format!("it is {told}"), "send 0 or more, or leave it out"))
        }
        told => Ok(told),
    }
}

fn currency(field: &str, codes: &[&str], settings: &Settings) -> Result<Currency, Problem> {
    let Some(told) = codes.iter().find(|it| !it.trim().is_empty()) else { return Ok(settings.currency) };
    Currency::parse(told).map_err(|_| {
        let reason = format!("{:?} is not a currency", shortened(told, 20));
        Problem::new(field, reason, "use its ISO 4217 letters, such as EUR")
    })
}

fn price(it: &wire::Product, mask: &Mask, settings: &Settings) -> Result<Option<Option<Price>>, Problem> {
    let minor = not_negative("price_minor", it.price_minor)?;
    let list = not_negative("list_price_minor", it.list_price_minor)?;
    if minor.is_none() && list.is_some() {
        return Err(Problem::new("price_minor", "it is missing", "send it with list_price_minor"));
    }
    if !mask.tells("price_minor", minor.is_some()) {
        return Ok(None);
    }
    let currency = currency("currency", &[&it.currency], settings)?;
    Ok(Some(minor.map(|minor| Price { now: Money { minor, currency }, list })))
}

fn cost(
    it: &wire::Product,
    mask: &Mask,
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<Option<Money>>, Problem> {
    let minor = not_negative("cost_minor", it.cost_minor)?;
    if !mask.tells("cost_minor", minor.is_some()) {
        return Ok(None);
    }
    let field = "cost_currency";
    let currency = currency(field, &[&it.cost_currency, &it.currency], settings)?;
    if minor.is_some() {
        // A cost that cannot be converted would silently be no cost.
        settings.rate(field, currency, now)?;
    }
    Ok(Some(minor.map(|minor| Money { minor, currency })))
}

fn stock(it: &wire::Product, mask: &Mask) -> Result<Option<Stock>, Problem> {
    use wire::product::Availability as Word;
    let availability = match Word::try_from(it.availability) {
        Ok(Word::Unspecified) => Availability::Unknown,
        Ok(Word::InStock) => Availability::InStock,
        Ok(Word::OutOfStock) => Availability::OutOfStock,
        Ok(Word::Preorder) => Availability::Preorder,
        Ok(Word::Backorder) => Availability::Backorder,
        Err(_) => {
            let reason = format!("{} is none that we know", it.availability);
            return Err(Problem::new("availability", reason, "use one of the enum's values"));
        }
    };
    let units = not_negative("stock_quantity", it.stock_quantity)?;
    let set = availability != Availability::Unknown || units.is_some();
    Ok(mask.tells("availability", set).then(|| Stock::told(availability, units)))
}

/// What became of a product.
pub fn outcome(outcome: Outcome) -> wire::ProductOutcome {
    use wire::product_outcome::Result as Word;
    match outcome {
        Ok(change) => {
            let result = match change {
                Change::Unchanged => Word::Unchanged,
                Change::Created => Word::Created,
                Change::Updated => Word::Updated,
            };
            wire::ProductOutcome { result: result.into(), field: String::new(), reason: String::new() }
        }
        Err(Problem { field, reason, remedy }) => {
            let reason = format!("{reason}: {remedy}");
            wire::ProductOutcome { result: Word::Rejected.into(), field, reason }
        }
    }
}

/// A product as it is shown.
pub fn shown(workspace: &Workspace, it: Product) -> wire::Product {
    use wire::product::Availability as Word;
    let availability = match it.stock.availability {
        Availability::Unknown => Word::Unspecified,
        Availability::InStock => Word::InStock,
        Availability::OutOfStock => Word::OutOfStock,
        Availability::Preorder => Word::Preorder,
        Availability::Backorder => Word::Backorder,
    };
    wire::Product {
        name: resource_name(workspace, &it.id),
        product_id: it.id,
        sku: it.texts.sku,
        group_id: it.texts.group,
        variant: it.texts.variant,
        title: it.texts.title,
        brand: it.texts.brand,
        category: it.texts.category,
        url: it.texts.url,
        image_url: it.texts.image_url,
        currency: code(it.price.map(|it| it.now)),
        price_minor: it.price.map(|it| it.now.minor),
        list_price_minor: it.price.and_then(|it| it.list),
        cost_currency: code(it.cost),
        cost_minor: it.cost.map(|it| it.minor),
        availability: availability.into(),
        stock_quantity: it.stock.units,
        create_time: Some(time::to_wire(it.created)),
        update_time: Some(time::to_wire(it.updated)),
    }
}

/// The resource name of a product. Ids of shops hold anything; two characters have to be written otherwise.
pub fn resource_name(workspace: &Workspace, id: &str) -> String {
    format!("{}/products/{}", workspace.resource(), id.replace('%', "%25").replace('/', "%2F"))
}

/// The id in a resource name; none if something else than `%25` and `%2F` follows a `%`.
pub fn unescaped(id: &str) -> Option<String> {
    let mut parts = id.split('%');
    let mut found = parts.next()?.to_owned();
    for part in parts {
        let (letter, rest) = match part.split_at_checked(2)? {
            ("25", rest) => ('%', rest),
            ("2F" | "2f", rest) => ('/', rest),
            _ => return None,
        };
        found.push(letter);
        found.push_str(rest);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_id_comes_back_from_its_resource_name(id in "[^\u{0}-\u{1f}]{1,20}") {
            let workspace = Workspace::parse("main").unwrap();
            let name = resource_name(&workspace, &id);
            let (_, part) = perennial_types::parse_resource(&name, "products").unwrap();
            prop_assert_eq!(unescaped(part), Some(id));
        }

        #[test]
        fn any_name_is_read_or_refused(id in "[%a-f0-9é]{0,8}") {
            drop(unescaped(&id));
        }
    }
}
