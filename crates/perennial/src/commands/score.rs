//! `perennial score`: models, and what a customer is worth.

use perennial_api::scoring::v1::{
    FitModelRequest, GetScoreRequest, Model, ModelState, Parameter, Score as Scored, SummarizeScoresRequest,
};
use serde_json::{Map, Value, json};

use super::{instant, instant_of};
use crate::cli::Score;
use crate::output;
use crate::session::{Session, bare, told};

/// Fits a model, or shows scores.
///
/// # Errors
/// If scoring refuses: too few orders, an unknown model, nobody known by that name.
pub async fn run(session: &Session, what: Score) -> anyhow::Result<()> {
    match what {
        Score::Fit { model, cutoff, publish } => fit(session, model, cutoff, publish).await,
        Score::Show { customer: Some(customer) } => one(session, &customer).await,
        Score::Show { customer: None } => all(session).await,
    }
}

async fn fit(session: &Session, kind: String, cutoff: Option<String>, publish: bool) -> anyhow::Result<()> {
    let request = FitModelRequest {
        parent: session.parent(),
        kind,
        cutoff_date: cutoff.unwrap_or_default(),
        publish,
        request_id: String::new(),
    };
    let model = session.scoring().fit_model(request).await.map_err(told)?.into_inner();
    if session.is_json() {
        return output::json(&model_json(&model));
    }
    output::show(&model_text(&model))?;
    Ok(())
}

/// A model as JSON, its parameters by name.
#[must_use]
pub fn model_json(it: &Model) -> Value {
    let by_name = |parameters: &[Parameter]| -> Map<String, Value> {
        parameters.iter().map(|it| (it.name.clone(), it.value.into())).collect()
    };
    let errors = |parameters: &[Parameter]| -> Map<String, Value> {
        parameters.iter().map(|it| (it.name.clone(), it.standard_error.into())).collect()
    };
    json!({
        "name": it.name, "kind": it.kind, "version": it.version, "state": state(it), "reason": it.reason,
        "first_date": it.first_date, "cutoff_date": it.cutoff_date, "customers": it.customer_count,
        "repeat_customers": it.repeat_customer_count, "distinct_histories": it.distinct_history_count,
        "parameters": by_name(&it.parameters), "standard_errors": errors(&it.parameters),
        "log_likelihood": it.log_likelihood, "fit_status": it.fit_status, "fit_note": it.fit_note,
        "spend_parameters": by_name(&it.spend_parameters), "spend_log_likelihood": it.spend_log_likelihood,
        "spend_customers": it.spend_customer_count, "spend_correlation": it.spend_correlation,
        "currency": it.currency,
        "population": it.population.as_ref().map(|it| json!({
            "margin": it.margin, "mean_value_minor": it.mean_value_minor,
            "second_purchase_days": it.second_purchase_days,
        })),
        "hold_out": it.hold_out.as_ref().map(|it| json!({
            "cutoff_dates": it.cutoff_dates, "horizon_days": it.horizon_days,
            "contenders": it.contenders.iter().map(|it| json!({
                "kind": it.kind, "deviance": it.deviance, "bias": it.bias, "mae": it.mae,
            })).collect::<Vec<_>>(),
            "deciles": it.deciles.iter().map(|it| json!({
                "predicted": it.predicted, "actual": it.actual,
            })).collect::<Vec<_>>(),
        })),
    })
}

fn state(it: &Model) -> &'static str {
    match it.state() {
        ModelState::Published => "published",
        ModelState::Refused => "refused",
        ModelState::Candidate | ModelState::Unspecified => "candidate",
    }
}

/// A model in a few lines.
#[must_use]
pub fn model_text(it: &Model) -> String {
    let parameters = |all: &[Parameter]| {
        let one = |it: &Parameter| {
            let error = it.standard_error.map(|it| format!(" ± {it:.4}")).unwrap_or_default();
            format!("{} {:.5}{error}", it.name, it.value)
        };
        all.iter().map(one).collect::<Vec<_>>().join("   ")
    };
    let customers = output::count(it.customer_count);
    let repeaters = output::count(it.repeat_customer_count);
    let mut text = format!(
        "  {}   {}   {} – {}\n  {customers} customers, {repeaters} with two or more purchase days, {} distinct histories\n",
        bare(&it.name),
        state(it),
        it.first_date,
        it.cutoff_date,
        output::count(it.distinct_history_count),
    );
    text.push_str(&format!(
        "  orders  {}   log-likelihood {:.3} ({})\n",
        parameters(&it.parameters),
        it.log_likelihood,
        it.fit_status
    ));
    if !it.spend_parameters.is_empty() {
        text.push_str(&format!(
            "  spend   {}   log-likelihood {:.3}   correlation with frequency {:.2}\n",
            parameters(&it.spend_parameters),
            it.spend_log_likelihood,
            it.spend_correlation
        ));
    }
    if let Some(held) = &it.hold_out {
        for contender in &held.contenders {
            text.push_str(&format!(
                "  held out {} days: {:<22} deviance {:.4}   bias {:+.1} %\n",
                held.horizon_days,
                contender.kind,
                contender.deviance,
                contender.bias * 100.0
            ));
        }
    }
    for note in [&it.fit_note, &it.reason] {
        if !note.is_empty() {
            text.push_str(&format!("  {note}\n"));
        }
    }
    if it.state() == ModelState::Candidate {
        text.push_str(
            "  not published: `perennial score fit --publish` lets a fit that passes its checks serve\n",
        );
    }
    text
}

async fn one(session: &Session, customer: &str) -> anyhow::Result<()> {
    let profile = session.profile(customer).await?;
    let request = GetScoreRequest { name: profile.name };
    let score = match session.scoring().get_score(request).await {
        // Who has not ordered has no score.
        Err(status) if status.code() == tonic::Code::NotFound && !session.is_json() => Scored::default(),
        other => other.map_err(told)?.into_inner(),
    };
    if session.is_json() {
        return output::json(&score_json(&score));
    }
    output::show(&score_text(&score))?;
    Ok(())
}

/// A score in a few lines: no value without its interval, its model and its date.
#[must_use]
pub fn score_text(it: &Scored) -> String {
    let day = |wire: Option<&prost_types::Timestamp>| {
        instant_of(wire).map_or_else(|| "–".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    let whole = |minor: i64| {
        let text = output::money(minor, &it.currency);
        text.split_once('.').map_or(text.clone(), |(whole, _)| whole.to_owned())
    };
    if it.orders == 0 && it.first_order_time.is_none() {
        return "  no order yet: nothing to value\n".to_owned();
    }
    let mut text = format!(
        "  historic profit   {:>14}  from {} orders since {}   ({} of revenue with known cost)\n",
        output::money(it.profit_minor, &it.currency),
        it.orders,
        day(it.first_order_time.as_ref()),
        output::percent(it.known_cost_share)
    );
    for value in it.values.iter().filter(|it| it.months == 12) {
        let interval = value.intervals.iter().find(|it| (it.level - 0.8).abs() < 1e-9);
        let band = interval
            .map(|it| format!("80 % interval {} … {}", whole(it.low_minor), whole(it.high_minor)))
            .unwrap_or_default();
        text.push_str(&format!(
            "  CLV 12 months     {:>14}  {band}   ({}, data to {})\n",
            format!("{} {}", whole(value.expected_minor), it.currency),
            it.model,
            it.model_cutoff_date
        ));
    }
    if it.values.is_empty() {
        text.push_str("  no model is published yet: `perennial score fit --publish`\n");
    }
    if let Some(alive) = it.p_alive {
        let next = it.next_order.as_ref();
        let median = next.map_or_else(|| "–".to_owned(), |it| day(it.median_time.as_ref()));
        let band = next.map(|it| {
            format!(
                "10–90 % {} … {}, never {:.2}",
                day(it.early_time.as_ref()),
                day(it.late_time.as_ref()),
                it.never
            )
        });
        let band = band.unwrap_or_default();
        text.push_str(&format!("  P(alive)          {alive:>14.2}  next order: median {median}, {band}\n"));
    }
    if let Some(rfm) = &it.rfm {
        let percentile = it.clv_percentile.map(|it| format!("percentile {it:.2}")).unwrap_or_default();
        let cells = format!("{}-{}-{}", rfm.recency, rfm.frequency, rfm.monetary);
        text.push_str(&format!("  RFM               {cells:>14}  {percentile}\n"));
    }
    text.push_str(&format!(
        "  overdue           {:>14}  {}\n  lapses            {:>14}\n",
        day(it.overdue_time.as_ref()),
        it.overdue_reason,
        day(it.lapse_time.as_ref())
    ));
    text
}

fn score_json(it: &Scored) -> Value {
    let values: Vec<Value> = it
        .values
        .iter()
        .map(|it| {
            let intervals: Vec<Value> = it
                .intervals
                .iter()
                .map(
                    |it| json!({ "level": it.level, "low_minor": it.low_minor, "high_minor": it.high_minor }),
                )
                .collect();
            json!({
                "months": it.months, "expected_minor": it.expected_minor,
                "expected_orders": it.expected_orders, "intervals": intervals,
            })
        })
        .collect();
    let at = |wire: &Option<prost_types::Timestamp>| wire.as_ref().map(|it| instant(Some(it)));
    json!({
        "name": it.name, "as_of_time": at(&it.as_of_time), "model": it.model,
        "model_cutoff_date": it.model_cutoff_date, "currency": it.currency, "orders": it.orders,
        "revenue_minor": it.revenue_minor, "profit_minor": it.profit_minor, "refund_minor": it.refund_minor,
        "known_cost_share": it.known_cost_share, "margin": it.margin,
        "first_order_time": at(&it.first_order_time), "last_order_time": at(&it.last_order_time),
        "x": it.x, "t_x_weeks": it.t_x_weeks, "age_weeks": it.age_weeks, "p_alive": it.p_alive,
        "expected_orders_90d": it.expected_orders_90d,
        "expected_profit_90d_minor": it.expected_profit_90d_minor, "values": values,
        "next_order": it.next_order.as_ref().map(|it| json!({
            "early_time": at(&it.early_time), "median_time": at(&it.median_time),
            "late_time": at(&it.late_time), "never": it.never,
        })),
        "clv_percentile": it.clv_percentile,
        "rfm": it.rfm.as_ref().map(|it| json!([it.recency, it.frequency, it.monetary])),
        "overdue_time": at(&it.overdue_time), "overdue_reason": it.overdue_reason,
        "lapse_time": at(&it.lapse_time), "reactivated": it.reactivated,
    })
}

async fn all(session: &Session) -> anyhow::Result<()> {
    let request = SummarizeScoresRequest { parent: session.parent() };
    let it = session.scoring().summarize_scores(request).await.map_err(told)?.into_inner();
    if session.is_json() {
        return output::json(&super::report::scores_json(&it));
    }
    let mut text = format!(
        "  {} customers, {} repeat; {} orders\n  revenue {}   profit {}   ({} of revenue with known cost)\n",
        output::count(it.customer_count),
        output::count(it.repeat_customer_count),
        output::count(it.order_count),
        output::money(it.revenue_minor, &it.currency),
        output::money(it.profit_minor, &it.currency),
        output::percent(it.known_cost_share)
    );
    match &it.clv {
        Some(_) => text.push_str(&format!("\n{}\n", super::report::value_columns(&it).join("\n"))),
        None => text.push_str("  no model is published yet: `perennial score fit --publish`\n"),
    }
    output::show(&text)?;
    Ok(())
}
