//! What a customer is worth, or all of them together.

use perennial_api::scoring::v1::{
    Drift, GetDriftRequest, GetScoreRequest, Period, Score as Scored, SummarizeScoresRequest,
};
use serde_json::{Value, json};

use crate::commands::{instant, instant_of, report};
use crate::output;
use crate::session::{Session, told};

/// Shows one customer.
///
/// # Errors
/// If nobody is known by that name.
pub(super) async fn one(session: &Session, customer: &str) -> anyhow::Result<()> {
    let profile = session.profile(customer).await?;
    let request = GetScoreRequest { name: profile.name, as_of_time: None };
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
    if !it.effects.is_empty() {
        let all: Vec<String> =
            it.effects.iter().map(|it| format!("{} × {:.2}", it.name, it.factor)).collect();
        text.push_str(&format!("  first order       {:>14}  orders {}\n", "", all.join(", ")));
    }
    if let Some(rfm) = &it.rfm {
        let percentile = it.clv_percentile.map(|it| format!("percentile {it:.2}")).unwrap_or_default();
        let tenth = it.clv_decile.map(|it| format!(", tenth {it} of 10")).unwrap_or_default();
        let cells = format!("{}-{}-{}", rfm.recency, rfm.frequency, rfm.monetary);
        text.push_str(&format!("  RFM               {cells:>14}  {percentile}{tenth}\n"));
    }
    text.push_str(&format!(
        "  overdue           {:>14}  {}\n  lapses            {:>14}\n",
        day(it.overdue_time.as_ref()),
        it.overdue_reason,
        day(it.lapse_time.as_ref())
    ));
    text
}

/// A score as JSON.
pub(super) fn score_json(it: &Scored) -> Value {
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
        "effects": it.effects.iter().map(|it| json!({ "name": it.name, "factor": it.factor })).collect::<Vec<_>>(),
        "clv_percentile": it.clv_percentile, "clv_decile": it.clv_decile,
        "rfm": it.rfm.as_ref().map(|it| json!([it.recency, it.frequency, it.monetary])),
        "overdue_time": at(&it.overdue_time), "overdue_reason": it.overdue_reason,
        "lapse_time": at(&it.lapse_time), "reactivated": it.reactivated,
    })
}

/// Shows all customers together, and how the model in force does.
///
/// # Errors
/// If scoring refuses.
pub(super) async fn all(session: &Session) -> anyhow::Result<()> {
    let request = SummarizeScoresRequest { parent: session.parent() };
    let it = session.scoring().summarize_scores(request).await.map_err(told)?.into_inner();
    // Without a model there is nothing to watch.
    let drift = session.scoring().get_drift(GetDriftRequest { parent: session.parent() }).await;
    let drift = drift.ok().map(tonic::Response::into_inner);
    if session.is_json() {
        let mut shown = report::scores_json(&it);
        if let (Some(drift), Some(fields)) = (&drift, shown.as_object_mut()) {
            fields.insert("drift".to_owned(), drift_json(drift));
        }
        if let (false, Some(fields)) = (it.failed_fit.is_empty(), shown.as_object_mut()) {
            fields.insert("failed_fit".to_owned(), it.failed_fit.clone().into());
            fields.insert("failed_fit_time".to_owned(), instant(it.failed_fit_time.as_ref()).into());
        }
        return output::json(&shown);
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
        Some(_) => text.push_str(&format!("\n{}\n", report::value_columns(&it).join("\n"))),
        None => text.push_str("  no model is published yet: `perennial score fit --publish`\n"),
    }
    if let Some(drift) = &drift {
        text.push_str(&format!("\n  since {}: {}\n", drift.cutoff_date, drift.verdict));
    }
    if !it.failed_fit.is_empty() {
        let at = instant(it.failed_fit_time.as_ref());
        text.push_str(&format!(
            "  the fit of {at} came to nothing, {} goes on serving: {}\n",
            it.model, it.failed_fit
        ));
    }
    output::show(&text)?;
    Ok(())
}

fn drift_json(it: &Drift) -> Value {
    let period = |it: &Period| {
        json!({
            "end_date": it.end_date, "actual": it.actual, "expected": it.expected, "low": it.low, "high": it.high,
        })
    };
    json!({
        "model": it.model, "cutoff_date": it.cutoff_date, "drifting": it.drifting, "verdict": it.verdict,
        "breaches": it.breach_count, "total": it.total.as_ref().map(period),
        "weeks": it.weeks.iter().map(period).collect::<Vec<_>>(),
    })
}
