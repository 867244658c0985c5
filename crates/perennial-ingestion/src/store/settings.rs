//! What workspaces decided about money and time.

use jiff::civil::Date;
use perennial_store::{
    Column, ConnectionTrait, Result, StoreError, Table, Value, column, execute, insert_rows, query, query_one,
};
use perennial_types::{Channel, Currency, Purpose, Workspace};

use crate::domain::agreement::{Basis, Rule};
use crate::domain::settings::Rates;

const RATES: Table = Table {
    name: "exchange_rate",
    columns: &[
        ("workspace", Column::Text),
        ("currency", Column::Text),
        ("start_date", Column::Text),
        ("rate", Column::Double),
    ],
};

/// What a workspace decided; what it did not is the configuration's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// The reporting currency.
    pub currency: Option<Currency>,
    /// Profit per revenue where no cost is known.
    pub default_margin_per_mille: Option<i64>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// BCP 47 locale.
    pub locale: Option<String>,
    /// What makes consent, by region.
    pub consent_rules: Vec<Rule>,
    /// Rates of other currencies.
    pub rates: Rates,
}

/// A rule as it is kept: region, channel, purpose, basis.
type KeptRule = (String, String, String, String);

fn kept(rules: &[Rule]) -> String {
    let kept = |it: &Rule| -> KeptRule {
        let words =
            (it.channel.as_str().to_owned(), it.purpose.as_str().to_owned(), it.basis.as_str().to_owned());
        (it.region.clone(), words.0, words.1, words.2)
    };
    // Texts in lists, which JSON can always hold.
    serde_json::to_string(&rules.iter().map(kept).collect::<Vec<_>>()).unwrap_or_default()
}

fn rules(text: &str) -> Option<Vec<Rule>> {
    let kept: Vec<KeptRule> = serde_json::from_str(text).ok()?;
    let rule = |(region, channel, purpose, basis): KeptRule| {
        let (channel, purpose) = (Channel::parse(&channel)?, Purpose::parse(&purpose)?);
        Some(Rule { region, channel, purpose, basis: Basis::parse(&basis)? })
    };
    kept.into_iter().map(rule).collect()
}

/// Reads what a workspace decided.
///
/// # Errors
/// If the database refuses.
pub async fn read(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Decided> {
    let corrupt = |reason: String| StoreError::Corrupt { what: "workspace setting", reason };
    let name = || vec![Value::from(workspace.as_str())];
    let mut decided = Decided::default();
    let sql = "SELECT currency, default_margin_per_mille, time_zone, locale, consent_rules FROM workspace_setting \
         WHERE workspace = $1";
    if let Some(row) = query_one(db, "a workspace's settings", sql, name()).await? {
        let currency: Option<String> = column(&row, 0)?;
        decided.currency = currency
            .map(|it| Currency::parse(&it))
            .transpose()
            .map_err(|error| corrupt(error.to_string()))?;
        decided.default_margin_per_mille = column(&row, 1)?;
        decided.time_zone = column(&row, 2)?;
        decided.locale = column(&row, 3)?;
        if let Some(text) = column::<Option<String>>(&row, 4)? {
            decided.consent_rules = rules(&text).ok_or_else(|| corrupt(format!("consent rules {text:?}")))?;
        }
    }
    let sql = "SELECT currency, start_date, rate FROM exchange_rate WHERE workspace = $1";
    for row in &query(db, "exchange rates", sql, name()).await? {
        let currency =
            Currency::parse(&column::<String>(row, 0)?).map_err(|error| corrupt(error.to_string()))?;
        let date: Date =
            column::<String>(row, 1)?.parse().map_err(|error: jiff::Error| corrupt(error.to_string()))?;
        decided.rates.entry(currency).or_default().insert(date, column(row, 2)?);
    }
    Ok(decided)
}

/// Makes `currency` the workspace's unless it has one.
///
/// # Errors
/// If the database refuses.
pub async fn adopt(tx: &impl ConnectionTrait, workspace: &Workspace, currency: Currency) -> Result<()> {
    let sql = "INSERT INTO workspace_setting (workspace, currency) VALUES ($1, $2) ON CONFLICT (workspace) \
               DO UPDATE SET currency = COALESCE(workspace_setting.currency, excluded.currency)";
    execute(tx, "a workspace's currency", sql, vec![workspace.as_str().into(), currency.code().into()])
        .await?;
    Ok(())
}

/// Writes what a workspace decided.
///
/// # Errors
/// If the database refuses.
pub async fn write(tx: &impl ConnectionTrait, workspace: &Workspace, decided: &Decided) -> Result<()> {
    let sql = "INSERT INTO workspace_setting \
               (workspace, currency, default_margin_per_mille, time_zone, locale, consent_rules) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace) DO UPDATE SET currency = excluded.currency, \
               default_margin_per_mille = excluded.default_margin_per_mille, time_zone = excluded.time_zone, \
               locale = excluded.locale, consent_rules = excluded.consent_rules";
    let values = vec![
        workspace.as_str().into(),
        decided.currency.map(|it| it.code().to_owned()).into(),
        decided.default_margin_per_mille.into(),
        decided.time_zone.clone().into(),
        decided.locale.clone().into(),
        kept(&decided.consent_rules).into(),
    ];
    execute(tx, "a workspace's settings", sql, values).await?;
    let rows = decided.rates.iter().flat_map(|(currency, dated)| {
        dated.iter().map(move |(date, rate)| {
            vec![workspace.as_str().into(), currency.code().into(), date.to_string().into(), (*rate).into()]
        })
    });
    let update = "ON CONFLICT (workspace, currency, start_date) DO UPDATE SET rate = excluded.rate";
    insert_rows(tx, &RATES, rows.collect(), update).await?;
    Ok(())
}
