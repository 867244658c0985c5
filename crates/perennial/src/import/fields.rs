//! Which column means what.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use serde_json::Value;

use super::source::Content;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// One order a row, or one line of an order a row.
    Orders,
    /// One event a row.
    Events,
    /// One customer a row.
    Profiles,
    /// One product a row.
    Catalog,
}

/// A field we know: its name, the columns it is guessed from, and whether it has to be there.
struct Field {
    name: &'static str,
    guesses: &'static [&'static str],
    needed: bool,
}

const fn field(name: &'static str, guesses: &'static [&'static str], needed: bool) -> Field {
    Field { name, guesses, needed }
}

/// Whoever has no number at the shop may be known by something else: see [`RECOGNISED`].
const CUSTOMER: Field = field(
    "customer",
    &["customer", "customer_id", "customerid", "user_id", "userid", "client_id", "buyer_id", "contact_id"],
    false,
);

/// What a person is recognised by: one of these has to be there.
const RECOGNISED: [&str; 4] = ["customer", "anonymous", "email", "phone"];

const ORDERS: &[Field] = &[
    CUSTOMER,
    field(
        "ordered_at",
        &["ordered_at", "order_date", "ordered", "date", "created_at", "timestamp", "time", "invoice_date"],
        true,
    ),
    field("revenue", &["revenue", "amount", "net_amount", "subtotal", "total", "value", "sales"], true),
    field(
        "order",
        &["order", "order_id", "orderid", "order_number", "invoice", "invoice_no", "transaction_id"],
        false,
    ),
    field(
        "refunds",
        &["refunds", "refunded_order", "original_order", "original_invoice", "related_order"],
        false,
    ),
    field("currency", &["currency", "currency_code"], false),
    field("discount", &["discount", "discount_amount"], false),
    field("cost", &["cost", "cost_total", "cogs"], false),
    field("coupon", &["coupon", "coupon_code", "voucher"], false),
    field("email", &["email", "email_address", "customer_email"], false),
    field("channel", &["channel", "acquisition_channel", "utm_medium", "source", "utm_source"], false),
    field("country", &["country", "country_code", "shipping_country"], false),
    field("product", &["product", "product_id", "sku", "stock_code", "item_id"], false),
    field("product_name", &["product_name", "description", "item_name"], false),
    field("category", &["category", "product_category"], false),
    field("quantity", &["quantity", "qty", "units"], false),
    field("price", &["price", "unit_price"], false),
    field("unit_cost", &["unit_cost"], false),
    field("phone", &["customer_phone"], false),
    field("anonymous", &["anonymous_id"], false),
    field("message", &["message_id"], false),
];

const EVENTS: &[Field] = &[
    CUSTOMER,
    field("anonymous", &["anonymous", "anonymous_id", "anonymousid", "visitor_id"], false),
    field("event", &["event", "event_name", "name"], true),
    field("happened_at", &["happened_at", "timestamp", "time", "date", "created_at", "event_time"], true),
    field("message", &["message", "message_id", "messageid", "event_id"], false),
    field("call", &["call"], false),
    field("previous", &["previous_id"], false),
    field("group", &["group_id"], false),
    field("properties", &["properties"], false),
    field("context", &["context"], false),
];

const PROFILES: &[Field] = &[
    CUSTOMER,
    field("email", &["email", "email_address", "mail"], false),
    field("phone", &["phone", "phone_number", "mobile"], false),
    field("updated_at", &["updated_at", "changed_at", "created_at", "signup_date", "date"], false),
    field("anonymous", &["anonymous_id"], false),
    field("traits", &["traits"], false),
    field("consents", &["consents"], false),
    field("context", &["context"], false),
];

const CATALOG: &[Field] = &[
    field("product", &["product", "product_id", "id", "sku"], true),
    field("sku", &["sku", "stock_code"], false),
    field("group", &["group", "group_id", "item_group_id", "parent_id", "parent_sku"], false),
    field("variant", &["variant", "variant_name", "option"], false),
    field("product_name", &["product_name", "name", "title", "description"], false),
    field("brand", &["brand", "manufacturer", "vendor"], false),
    field("category", &["category", "product_category", "product_type", "google_product_category"], false),
    field("url", &["url", "link", "product_url"], false),
    field("image_url", &["image_url", "image_link", "image"], false),
    field("price", &["price", "unit_price"], false),
    field("list_price", &["list_price"], false),
    field("sale_price", &["sale_price", "special_price"], false),
    field("sale_period", &["sale_period", "sale_price_effective_date"], false),
    field("cost", &["cost", "unit_cost", "cogs", "cost_of_goods_sold"], false),
    field("currency", &["currency", "currency_code"], false),
    field("cost_currency", &["cost_currency"], false),
    field("availability", &["availability", "in_stock", "stock_status"], false),
    field("stock", &["stock", "stock_quantity", "quantity", "inventory", "qty"], false),
];

impl Kind {
    fn fields(self) -> &'static [Field] {
        match self {
            Self::Orders => ORDERS,
            Self::Events => EVENTS,
            Self::Profiles => PROFILES,
            Self::Catalog => CATALOG,
        }
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Events => "events",
            Self::Profiles => "profiles",
            Self::Catalog => "catalog",
        }
    }
}

/// Which column holds which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The column of each field; said by the caller if `true`, else guessed.
    pub fields: BTreeMap<&'static str, (String, bool)>,
    /// Columns that are no field of ours: traits and properties.
    pub rest: Vec<String>,
}

impl Mapping {
    /// Finds the column of each field: as `said` (`field=column`), else by its name. Without columns (NDJSON) every guess
    /// is kept, since an object may have any of them.
    ///
    /// # Errors
    /// If `said` names a field or column there is not, or one that has to be there cannot be found.
    pub fn find(kind: Kind, columns: &[String], said: &[(String, String)]) -> anyhow::Result<Self> {
        let known = kind.fields();
        let mut fields = BTreeMap::new();
        for (name, column) in said {
            let Some(field) = known.iter().find(|it| it.name == name) else {
                let names: Vec<_> = known.iter().map(|it| it.name).collect();
                bail!(
                    "--column {name}={column}: {kind} have no field {name:?}: use one of {names}",
                    kind = kind.as_str(),
                    names = names.join(", ")
                );
            };
            ensure!(
                columns.is_empty() || columns.contains(column),
                "--column {name}={column}: the file has no column {column:?}: it has {}",
                columns.join(", ")
            );
            fields.insert(field.name, (column.clone(), true));
        }
        for field in known {
            if fields.contains_key(field.name) || columns.is_empty() {
                continue;
            }
            let taken = |column: &String| fields.values().any(|(it, _)| it == column);
            let guess = field
                .guesses
                .iter()
                .find_map(|guess| columns.iter().find(|it| normal(it) == *guess && !taken(it)));
            match guess {
                Some(column) => {
                    fields.insert(field.name, (column.clone(), false));
                }
                None => ensure!(
                    !field.needed,
                    "no column holds {name:?}: name it with --column {name}=COLUMN; the file has {all}",
                    name = field.name,
                    all = columns.join(", ")
                ),
            }
        }
        if matches!(kind, Kind::Orders | Kind::Profiles) && !columns.is_empty() {
            ensure!(
                RECOGNISED.iter().any(|it| fields.contains_key(it)),
                "no column holds \"customer\", nor what else a person is known by: name it with --column customer=COLUMN; \
                 the file has {all}",
                all = columns.join(", ")
            );
        }
        let rest = columns.iter().filter(|it| fields.values().all(|(column, _)| column != *it));
        // A file of rejected rows can be mended and imported as it is.
        let rest = rest.filter(|it| !matches!(it.as_str(), "rejected_line" | "rejected_reason"));
        let rest = rest.filter(|it| !it.starts_with(TOLD));
        Ok(Self { rest: rest.cloned().collect(), fields })
    }
}

/// What an export tells besides what can be imported begins with this.
pub const TOLD: &str = "perennial_";

/// A column's name in lower case with underscores.
fn normal(column: &str) -> String {
    column.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Reads the fields of one record.
pub struct Reading<'a> {
    kind: Kind,
    columns: &'a [String],
    mapping: &'a Mapping,
    content: &'a Content,
}

impl<'a> Reading<'a> {
    /// A reading of `content`.
    #[must_use]
    pub fn new(kind: Kind, columns: &'a [String], mapping: &'a Mapping, content: &'a Content) -> Self {
        Self { kind, columns, mapping, content }
    }

    /// The text of a field; blank is nothing.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let found = match self.content {
            Content::Row(values) => {
                let (column, _) = self.mapping.fields.get(name)?;
                let at = self.columns.iter().position(|it| it == column)?;
                values.get(at).cloned()
            }
            Content::Object(object) => {
                let field = self.kind.fields().iter().find(|it| it.name == name)?;
                let said = self.mapping.fields.get(name).map(|(column, _)| column.as_str());
                let value = match said {
                    Some(column) => dotted(object, column),
                    None => guessed(object, field),
                };
                value.and_then(plain)
            }
        };
        found.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())
    }

    /// A field that holds an object, as JSON where columns hold text only. What is none is put back into `rest` as what a
    /// column of that name says.
    #[must_use]
    pub fn part(
        &self,
        name: &str,
        rest: &mut serde_json::Map<String, Value>,
    ) -> Option<serde_json::Map<String, Value>> {
        match self.json(name)? {
            Value::Object(it) => Some(it),
            other => {
                rest.insert(self.column(name), other);
                None
            }
        }
    }

    /// A field that holds a list or an object, as JSON where columns hold text only; else its text.
    #[must_use]
    pub fn json(&self, name: &str) -> Option<Value> {
        if let Content::Object(object) = self.content {
            let field = self.kind.fields().iter().find(|it| it.name == name)?;
            let found = match self.mapping.fields.get(name) {
                Some((column, _)) => dotted(object, column),
                None => guessed(object, field),
            };
            if let Some(it @ (Value::Object(_) | Value::Array(_))) = found {
                return Some(it.clone());
            }
        }
        let text = self.text(name)?;
        let parsed = serde_json::from_str::<Value>(&text).ok();
        Some(parsed.filter(|it| it.is_object() || it.is_array()).unwrap_or_else(|| typed(&text)))
    }

    /// What an export told besides what can be imported.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<String> {
        let name = format!("{TOLD}{name}");
        let found = match self.content {
            Content::Row(values) => values.get(self.columns.iter().position(|it| *it == name)?).cloned(),
            Content::Object(object) => object.get(&name).and_then(plain),
        };
        found.filter(|it| !it.is_empty())
    }

    fn column(&self, name: &str) -> String {
        self.mapping.fields.get(name).map_or(name, |(column, _)| column.as_str()).to_owned()
    }

    /// The text of a field that has to be there.
    ///
    /// # Errors
    /// What is missing, and the remedy.
    pub fn need(&self, name: &'static str) -> Result<String, String> {
        self.text(name).ok_or_else(|| {
            let column = self.mapping.fields.get(name).map_or(name, |(column, _)| column.as_str());
            format!("{column} is empty: {name} has to be there")
        })
    }

    /// Everything that is no field of ours, by column: numbers and booleans as such.
    #[must_use]
    pub fn rest(&self) -> serde_json::Map<String, Value> {
        match self.content {
            Content::Row(values) => self
                .columns
                .iter()
                .zip(values)
                .filter(|(column, value)| self.mapping.rest.contains(column) && !value.is_empty())
                .map(|(column, value)| (column.clone(), typed(value)))
                .collect(),
            Content::Object(object) => {
                let is_field = |key: &str| {
                    let guessed =
                        self.kind.fields().iter().any(|it| it.guesses.contains(&normal(key).as_str()));
                    guessed || self.mapping.fields.values().any(|(column, _)| column == key)
                };
                let is_rest = |key: &str| !is_field(key) && !key.starts_with(TOLD);
                object.iter().filter(|(key, _)| is_rest(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
            }
        }
    }

    /// The object it is, for NDJSON.
    #[must_use]
    pub fn object(&self) -> Option<&serde_json::Map<String, Value>> {
        match self.content {
            Content::Object(it) => Some(it),
            Content::Row(_) => None,
        }
    }
}

/// The value of the first guess that an object has; names are compared as they stand first, since most stand so.
fn guessed<'a>(object: &'a serde_json::Map<String, Value>, field: &Field) -> Option<&'a Value> {
    field.guesses.iter().find_map(|it| object.get(*it)).or_else(|| {
        object.iter().find(|(key, _)| field.guesses.contains(&normal(key).as_str())).map(|(_, value)| value)
    })
}

fn dotted<'a>(object: &'a serde_json::Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    let (head, rest) = path.split_once('.')?;
    dotted(object.get(head)?.as_object()?, rest)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(it) => Some(it.clone()),
        Value::Number(it) => Some(it.to_string()),
        Value::Bool(it) => Some(it.to_string()),
        _ => None,
    }
}

/// A text of a CSV file as what it looks like. Leading zeros and plus signs are kept as text: they are codes.
fn typed(text: &str) -> Value {
    let number = || {
        let bare = text.trim_start_matches('-');
        let code =
            bare.starts_with('+') || (bare.len() > 1 && bare.starts_with('0') && !bare.starts_with("0."));
        if code || bare.len() > 15 { None } else { text.parse::<serde_json::Number>().ok() }
    };
    match text {
        "true" | "TRUE" | "True" => Value::Bool(true),
        "false" | "FALSE" | "False" => Value::Bool(false),
        _ => number().map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}
