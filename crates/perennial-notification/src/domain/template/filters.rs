//! The dialect: Liquid's own filters where they cannot be made to run away, and ours for money, dates and output.

use jiff::{Timestamp, civil, fmt::strtime, tz::TimeZone};
use liquid_core::model::{Value, ValueView};
use liquid_core::parser::{ParseBlock, ParseFilter, ParseTag};
use liquid_core::{Error, Language, Result, Runtime};
use liquid_lib::stdlib;
use perennial_types::Currency;

use super::limits::{MAX_VALUE, Own, StopTag, TurnTag, bounded, count_output};

/// The language templates are compiled by.
pub fn language() -> Language {
    let mut language = Language::empty();
    let blocks: [Box<dyn ParseBlock>; 7] = [
        Box::new(stdlib::IfBlock::new()),
        Box::new(stdlib::IfBlock::new()),
        Box::new(stdlib::UnlessBlock::new()),
        Box::new(stdlib::CaseBlock),
        Box::new(stdlib::ForBlock),
        Box::new(stdlib::CaptureBlock),
        Box::new(stdlib::RawBlock),
    ];
    for block in blocks {
        let name = block.reflection().start_tag().to_owned();
        language.blocks.register(name, block);
    }
    language.blocks.register("comment".to_owned(), Box::new(stdlib::CommentBlock));
    let tags: [Box<dyn ParseTag>; 5] = [
        Box::new(stdlib::AssignTag),
        Box::new(stdlib::BreakTag),
        Box::new(stdlib::ContinueTag),
        Box::new(TurnTag),
        Box::new(StopTag),
    ];
    for tag in tags {
        let name = tag.reflection().tag().to_owned();
        language.tags.register(name, tag);
    }
    for filter in standard().into_iter().chain(own()) {
        let name = filter.reflection().name().to_owned();
        language.filters.register(name, filter);
    }
    language
}

fn standard() -> Vec<Box<dyn ParseFilter>> {
    vec![
        Box::new(stdlib::Abs),
        Box::new(stdlib::Append),
        Box::new(stdlib::AtLeast),
        Box::new(stdlib::AtMost),
        Box::new(stdlib::Capitalize),
        Box::new(stdlib::Ceil),
        Box::new(stdlib::Compact),
        Box::new(stdlib::Concat),
        Box::new(stdlib::Default),
        Box::new(stdlib::DividedBy),
        Box::new(stdlib::Downcase),
        Box::new(stdlib::Escape),
        Box::new(stdlib::EscapeOnce),
        Box::new(stdlib::First),
        Box::new(stdlib::Floor),
        Box::new(stdlib::Last),
        Box::new(stdlib::Lstrip),
        Box::new(stdlib::Map),
        Box::new(stdlib::Minus),
        Box::new(stdlib::Modulo),
        Box::new(stdlib::NewlineToBr),
        Box::new(stdlib::Plus),
        Box::new(stdlib::Prepend),
        Box::new(stdlib::Remove),
        Box::new(stdlib::RemoveFirst),
        Box::new(stdlib::Reverse),
        Box::new(stdlib::Round),
        Box::new(stdlib::Rstrip),
        Box::new(stdlib::Size),
        Box::new(stdlib::Slice),
        Box::new(stdlib::Sort),
        Box::new(stdlib::SortNatural),
        Box::new(stdlib::Split),
        Box::new(stdlib::Strip),
        Box::new(stdlib::StripHtml),
        Box::new(stdlib::StripNewlines),
        Box::new(stdlib::Times),
        Box::new(stdlib::Truncate),
        Box::new(stdlib::TruncateWords),
        Box::new(stdlib::Uniq),
        Box::new(stdlib::Upcase),
        Box::new(stdlib::UrlDecode),
        Box::new(stdlib::UrlEncode),
        Box::new(stdlib::Where),
    ]
}

fn own() -> Vec<Box<dyn ParseFilter>> {
    vec![
        Box::new(Own { name: "money", most: 1, run: money }),
        Box::new(Own { name: "date", most: 2, run: date }),
        Box::new(Own { name: "join", most: 1, run: join }),
        Box::new(Own { name: "replace", most: 2, run: replace }),
        Box::new(Own { name: "raw", most: 0, run: |input, _, _| Ok(input.to_value()) }),
        Box::new(Own {
            name: "__kept",
            most: 0,
            run: |input, _, runtime| bounded(input.to_value(), runtime),
        }),
        Box::new(Own { name: "__text", most: 0, run: text }),
        Box::new(Own { name: "__html", most: 0, run: html }),
    ]
}

/// `{{ cart.total | money }}` or `| money: "USD"`: an amount with its currency, rounded to its decimals: `12.30 EUR`.
fn money(input: &dyn ValueView, arguments: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let amount = input.to_kstr();
    if input.is_nil() || amount.is_empty() {
        return Ok(Value::Nil);
    }
    let code = match arguments.first() {
        Some(it) => it.to_kstr().into_string(),
        None => lookup(runtime, "shop", "currency").unwrap_or_default(),
    };
    let currency = Currency::parse(&code)
        .map_err(|it| Error::with_msg(format!("money: {it}, as in {{{{ cart.total | money: \"EUR\" }}}}")))?;
    let minor = currency.minor_units(&amount).map_err(|it| Error::with_msg(format!("money: {it}")))?;
    Ok(Value::scalar(format!("{} {currency}", currency.format(minor))))
}

/// `{{ coupon.expires | date: "%-d %B %Y" }}`: an instant in the customer's zone, or the zone named second.
fn date(input: &dyn ValueView, arguments: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let text = input.to_kstr();
    if input.is_nil() || text.is_empty() {
        return Ok(Value::Nil);
    }
    let format = arguments.first().map_or_else(|| "%-d %B %Y".to_owned(), |it| it.to_kstr().into_string());
    let zone = arguments
        .get(1)
        .map(|it| it.to_kstr().into_string())
        .or_else(|| lookup(runtime, "profile", "time_zone"))
        .and_then(|it| TimeZone::get(&it).ok())
        .unwrap_or(TimeZone::UTC);
    let text = if text == "now" || text == "today" {
        runtime.try_get(&["now".into()]).map(|it| it.to_kstr().into_string()).unwrap_or_default()
    } else {
        text.into_string()
    };
    let zoned = match text.parse::<Timestamp>() {
        Ok(instant) => instant.to_zoned(zone),
        Err(_) => {
            text.parse::<civil::Date>().ok().and_then(|it| it.to_zoned(zone).ok()).ok_or_else(|| {
                Error::with_msg(format!(
                    "date cannot read {text:?}: give it an instant such as 2026-03-01T09:00:00Z"
                ))
            })?
        }
    };
    let written = strtime::format(&format, &zoned)
        .map_err(|it| Error::with_msg(format!("date cannot write by the format {format:?}: {it}")))?;
    bounded(Value::scalar(written), runtime)
}

fn join(input: &dyn ValueView, arguments: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let Some(items) = input.as_array() else { return Ok(input.to_value()) };
    let glue = arguments.first().map_or_else(|| " ".to_owned(), |it| it.to_kstr().into_string());
    let mut joined = String::new();
    for (n, item) in items.values().enumerate() {
        if n > 0 {
            joined.push_str(&glue);
        }
        joined.push_str(&item.to_kstr());
        if joined.len() > MAX_VALUE {
            break;
        }
    }
    bounded(Value::scalar(joined), runtime)
}

fn replace(input: &dyn ValueView, arguments: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let text = input.to_kstr();
    let [search, rest @ ..] = arguments else {
        return Err(Error::with_msg("replace needs what to search for and what to put there"));
    };
    let (search, put) =
        (search.to_kstr(), rest.first().map(|it| it.to_kstr().into_string()).unwrap_or_default());
    let found = text.matches(search.as_str()).count();
    if text.len().saturating_add(found.saturating_mul(put.len())) > MAX_VALUE {
        return bounded(Value::scalar("x".repeat(MAX_VALUE + 1)), runtime);
    }
    Ok(Value::scalar(text.replace(search.as_str(), &put)))
}

fn text(input: &dyn ValueView, _: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let text = input.render().to_string();
    count_output(text.len(), runtime)?;
    Ok(Value::scalar(text))
}

fn html(input: &dyn ValueView, _: &[Value], runtime: &dyn Runtime) -> Result<Value> {
    let text = input.render().to_string();
    count_output(text.len(), runtime)?;
    Ok(Value::scalar(escape(&text)))
}

/// Text as it may stand in HTML, in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for it in text.chars() {
        match it {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(it),
        }
    }
    escaped
}

fn lookup(runtime: &dyn Runtime, object: &'static str, field: &'static str) -> Option<String> {
    let found = runtime.try_get(&[object.into(), field.into()])?;
    if found.is_nil() { None } else { Some(found.to_kstr().into_string()) }
}
