//! Records become products.

use jiff::fmt::temporal::DateTimeParser;
use perennial_api::catalog::v1::Product;
use perennial_api::catalog::v1::product::Availability;
use perennial_types::{Currency, Timestamp};

use super::fields::Reading;
use super::value::{decimal, short};

/// Reads a product. What a record does not say stays out, so that a feed of prices changes nothing but prices.
///
/// # Errors
/// What is wrong and what to do.
pub fn product(
    reading: &Reading<'_>,
    currency: Option<Currency>,
    comma: bool,
    now: Timestamp,
) -> Result<Product, String> {
    let of = match reading.text("currency") {
        Some(code) => Some(Currency::parse(&code).map_err(|error| error.to_string())?),
        None => currency,
    };
    let cost_in = match reading.text("cost_currency") {
        Some(code) => Some(Currency::parse(&code).map_err(|error| error.to_string())?),
        None => of,
    };
    let amount = |name: &str| {
        let of = if name == "cost" { cost_in } else { of };
        reading.text(name).map(|text| money(name, &text, of, comma)).transpose()
    };
    let text = |name: &str| reading.text(name).unwrap_or_default();
    let (price, sale, cost) = (amount("price")?, amount("sale_price")?, amount("cost")?);
    let on = sale.is_some() && reading.text("sale_period").map_or(Ok(true), |it| is_on(&it, now))?;
    let (asked, list) = match (price, sale) {
        (Some((price, of)), Some((sale, same))) if on && sale < price => {
            if of != same {
                return Err(format!("sale_price is in {same} and price in {of}: write both in one currency"));
            }
            (Some((sale, of)), Some((price, of)))
        }
        (None, Some(_)) if on => (sale, None),
        _ => (price, None),
    };
    let list = match (list, amount("list_price")?, asked) {
        (Some((list, _)), ..) => Some(list),
        (None, Some((_, of)), Some((_, same))) if of != same => {
            return Err(format!("list_price is in {of} and price in {same}: write both in one currency"));
        }
        (None, told, _) => told.map(|it| it.0),
    };
    let code = |it: Option<(i64, Currency)>| {
        it.map(|(_, it)| it).as_ref().map(Currency::code).unwrap_or_default().to_owned()
    };
    let id = reading.need("product")?;
    // A file with one column for both names the product once.
    let sku = reading.text("sku").filter(|it| *it != id).unwrap_or_default();
    Ok(Product {
        product_id: id,
        sku,
        group_id: text("group"),
        variant: text("variant"),
        title: text("product_name"),
        brand: text("brand"),
        category: path(&text("category")),
        url: text("url"),
        image_url: text("image_url"),
        currency: code(asked),
        price_minor: asked.map(|it| it.0),
        list_price_minor: list,
        cost_currency: code(cost),
        cost_minor: cost.map(|it| it.0),
        availability: reading.text("availability").map_or(Ok(0), |it| availability(&it).map(i32::from))?,
        stock_quantity: reading.text("stock").map(|it| units(&it)).transpose()?,
        ..Product::default()
    })
}

/// An amount that may name its currency, as in `12.90 EUR`; otherwise it is in `currency`.
fn money(
    column: &str,
    text: &str,
    currency: Option<Currency>,
    comma: bool,
) -> Result<(i64, Currency), String> {
    let (bare, named) = named(text);
    let of = named.or(currency).ok_or_else(|| {
        format!(
            "{column} {:?} has no currency: write it as \"12.90 EUR\", or say --currency EUR",
            short(text)
        )
    })?;
    match of.minor_units(&decimal(bare, comma)) {
        Ok(minor) if minor < 0 => {
            Err(format!("{column} {:?} is negative: write 0 or more, or leave it empty", short(text)))
        }
        Ok(minor) => Ok((minor, of)),
        Err(_) => {
            let hint =
                if text.contains(',') && !comma { "; with a decimal comma say --decimal-comma" } else { "" };
            let shown = short(text);
            Err(format!("{column} {shown:?} is not an amount: use one such as 12.90 or \"12.90 EUR\"{hint}"))
        }
    }
}

/// An amount and the currency whose letters stand behind or before it.
fn named(text: &str) -> (&str, Option<Currency>) {
    let text = text.trim();
    let letters = |it: &str| it.len() == 3 && it.bytes().all(|it| it.is_ascii_alphabetic());
    let parts = text.len().checked_sub(3).and_then(|it| text.split_at_checked(it));
    if let Some((amount, code)) = parts.filter(|(_, code)| letters(code)) {
        return (amount.trim_end(), Currency::parse(code).ok());
    }
    match text.split_at_checked(3) {
        Some((code, amount)) if letters(code) => (amount.trim_start(), Currency::parse(code).ok()),
        _ => (text, None),
    }
}

/// Whether a period such as `2026-02-24T13:00+0100/2026-02-29T15:30+0100` is on.
fn is_on(period: &str, now: Timestamp) -> Result<bool, String> {
    static DATES: DateTimeParser = DateTimeParser::new();
    let refused = || {
        format!(
            "sale_period {:?} is none: use two instants such as 2026-02-24T13:00Z/2026-03-01T00:00Z",
            short(period)
        )
    };
    let (from, until) = period.split_once('/').ok_or_else(refused)?;
    let at = |text: &str| DATES.parse_timestamp(text.trim()).map_err(|_| refused());
    Ok((at(from)?..at(until)?).contains(&now))
}

/// Whether it can be had, in the words feeds use.
fn availability(text: &str) -> Result<Availability, String> {
    // Some write the address of a word: https://schema.org/InStock.
    let word = text.rsplit('/').next().unwrap_or_default().to_lowercase().replace([' ', '_', '-'], "");
    Ok(match word.as_str() {
        "instock"
        | "limitedavailability"
        | "instoreonly"
        | "onlineonly"
        | "available"
        | "true"
        | "yes"
        | "1" => Availability::InStock,
        "outofstock" | "soldout" | "discontinued" | "unavailable" | "false" | "no" | "0" => {
            Availability::OutOfStock
        }
        "preorder" | "presale" => Availability::Preorder,
        "backorder" | "availablefororder" => Availability::Backorder,
        _ => {
            let shown = short(text);
            return Err(format!(
                "availability {shown:?} is none we know: use in_stock, out_of_stock, preorder or backorder"
            ));
        }
    })
}

/// Units in stock; what is sold beyond them leaves none.
fn units(text: &str) -> Result<i64, String> {
    let units = text.parse::<f64>().ok().filter(|it| it.abs() <= 1e12);
    #[expect(clippy::cast_possible_truncation, reason = "at most a million million")]
    let units = units.map(|it| it.floor().max(0.0) as i64);
    units.ok_or_else(|| format!("stock {:?} is no number of units: use a whole number", short(text)))
}

/// A category as a path with ` > ` between its parts.
fn path(text: &str) -> String {
    text.split('>').map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" > ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_name_their_currency_or_take_the_one_that_is_said() {
        let eur = Some(Currency::EUR);
        let usd = Currency::parse("USD").unwrap();
        for (text, comma, expected) in [
            ("12.90 EUR", false, (1_290, Currency::EUR)),
            ("12.90USD", false, (1_290, usd)),
            ("usd 1,012.5", false, (101_250, usd)),
            ("€12.90", false, (1_290, Currency::EUR)),
            ("1.012,90 EUR", true, (101_290, Currency::EUR)),
            ("1500 JPY", false, (1_500, Currency::parse("JPY").unwrap())),
            ("7", false, (700, Currency::EUR)),
        ] {
            assert_eq!(money("price", text, eur, comma), Ok(expected), "{text}");
        }
        assert!(money("price", "7", None, false).unwrap_err().contains("say --currency"));
        assert!(money("price", "7,50 EUR", None, false).unwrap_err().contains("--decimal-comma"));
        assert!(money("cost", "-1 EUR", None, false).unwrap_err().contains("negative"));
        for text in ["EUR", "free", "é", "éé", "1 2 EUR"] {
            assert!(money("price", text, eur, false).is_err(), "{text}");
        }
    }

    #[test]
    fn feeds_say_in_many_words_whether_it_is_there() {
        for (text, expected) in [
            ("in stock", Availability::InStock),
            ("in_stock", Availability::InStock),
            ("https://schema.org/InStock", Availability::InStock),
            ("Out of Stock", Availability::OutOfStock),
            ("SoldOut", Availability::OutOfStock),
            ("pre-order", Availability::Preorder),
            ("backorder", Availability::Backorder),
        ] {
            assert_eq!(availability(text), Ok(expected), "{text}");
        }
        assert!(availability("maybe").is_err());
        assert_eq!((units("3"), units("-2"), units("2.0")), (Ok(3), Ok(0), Ok(2)));
        assert!(units("many").is_err() && units("NaN").is_err());
    }

    #[test]
    fn a_sale_is_on_within_its_period() {
        let now: Timestamp = "2026-02-25T00:00:00Z".parse().unwrap();
        assert_eq!(is_on("2026-02-24T13:00+0100/2026-02-28T15:30+0100", now), Ok(true));
        assert_eq!(is_on("2026-02-25T00:30+01:00/2026-02-25T00:59+01:00", now), Ok(false));
        assert!(is_on("tomorrow", now).is_err() && is_on("a/b", now).is_err());
    }
}
