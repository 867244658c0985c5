//! `perennial score compare`: registered models side by side.

use anyhow::bail;
use perennial_api::scoring::v1::{GetModelRequest, ListModelsRequest, Model};

use super::model::{model_json, state};
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// How many models are compared if none is named.
const LATEST: i32 = 8;

/// Compares some models, or the latest ones; and what competed in the hold-out of the newest.
///
/// # Errors
/// If a model is not known.
pub async fn run(session: &Session, names: &[String]) -> anyhow::Result<()> {
    let mut models = Vec::new();
    for name in names {
        let request = GetModelRequest { name: session.name("models", name) };
        models.push(session.scoring().get_model(request).await.map_err(told)?.into_inner());
    }
    if names.is_empty() {
        let request =
            ListModelsRequest { parent: session.parent(), page_size: LATEST, page_token: String::new() };
        models = session.scoring().list_models(request).await.map_err(told)?.into_inner().models;
    }
    if session.is_json() {
        return output::json(&models.iter().map(model_json).collect::<Vec<_>>());
    }
    if models.is_empty() {
        bail!("there are no models yet: `perennial score fit` makes one");
    }
    output::show(&text(&models))?;
    Ok(())
}

fn text(models: &[Model]) -> String {
    let right = Align::Right;
    let mut table = Table::new([
        ("model", Align::Left),
        ("state", Align::Left),
        ("until", Align::Left),
        ("customers", right),
        ("log-likelihood", right),
        ("deviance", right),
        ("log score", right),
        ("bias %", right),
        ("Gini", right),
        ("decile %", right),
    ])
    .indented(2);
    let dash = || "–".to_owned();
    for it in models {
        let own =
            it.hold_out.as_ref().and_then(|held| held.contenders.iter().find(|own| own.kind == it.kind));
        let accuracy = own.and_then(|it| it.accuracy.as_ref());
        table.row([
            bare(&it.name).to_owned(),
            state(it).to_owned(),
            it.cutoff_date.clone(),
            output::count(it.customer_count),
            format!("{:.3}", it.log_likelihood),
            accuracy.map_or_else(dash, |it| format!("{:.4}", it.deviance)),
            own.and_then(|it| it.score).map_or_else(dash, |it| format!("{it:.4}")),
            accuracy.map_or_else(dash, |it| format!("{:+.1}", it.bias_percent)),
            accuracy.map_or_else(dash, |it| format!("{:.4}", it.gini)),
            accuracy.map_or_else(dash, |it| format!("{:.1}", it.decile_error_percent)),
        ]);
    }
    let mut text = table.to_string();
    if let Some((newest, held)) = models.iter().find_map(|it| Some((it, it.hold_out.as_ref()?))) {
        text.push_str(&format!(
            "\n  {}: what competed, over {} cutoffs\n{}  {}\n",
            bare(&newest.name),
            held.cutoff_dates.len(),
            super::model::contenders(held),
            held.why
        ));
        text.push_str(&super::model::finer(newest));
    }
    text
}
