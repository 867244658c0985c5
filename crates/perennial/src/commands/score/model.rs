//! Models as text and JSON.

use perennial_api::scoring::v1::{Accuracy, HoldOut, Member, Model, ModelState, Parameter};
use serde_json::{Map, Value, json};

use crate::output::{self, Align, Table};
use crate::session::bare;

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
        "trials": it.trials.iter().map(|it| json!({
            "name": it.name, "gain": it.gain, "gain_error": it.gain_error, "judged": it.judged_count, "won": it.won,
        })).collect::<Vec<_>>(),
        "effects": it.effects.iter().map(|it| json!({
            "name": it.name, "factor": it.factor, "customers": it.customer_count, "kept_share": it.kept_share,
        })).collect::<Vec<_>>(),
        "season": it.season,
        "members": members_json(&it.members), "hold_out": it.hold_out.as_ref().map(hold_out_json),
    })
}

/// The members of a stack.
pub(super) fn members_json(members: &[Member]) -> Value {
    let parameters = |all: &[Parameter]| -> Map<String, Value> {
        all.iter().map(|it| (it.name.clone(), it.value.into())).collect()
    };
    let member = |it: &Member| json!({ "kind": it.kind, "weight": it.weight, "parameters": parameters(&it.parameters) });
    members.iter().map(member).collect()
}

/// What was held out, and how everybody did.
pub(super) fn hold_out_json(it: &HoldOut) -> Value {
    let accuracy = |it: &Accuracy| {
        json!({
            "deviance": it.deviance, "mae": it.mae, "rmse": it.rmse, "bias_percent": it.bias_percent,
            "spearman": it.spearman, "gini": it.gini, "auc": it.auc,
            "decile_error_percent": it.decile_error_percent, "top_fifth_percent": it.top_fifth_percent,
        })
    };
    json!({
        "cutoff_dates": it.cutoff_dates, "horizon_days": it.horizon_days, "why": it.why,
        "level_spread": it.level_spread,
        "origins": it.origins.iter().map(|it| json!({
            "cutoff_date": it.cutoff_date, "horizon_days": it.horizon_days,
        })).collect::<Vec<_>>(),
        "contenders": it.contenders.iter().map(|it| json!({
            "kind": it.kind, "deviance": it.deviance, "bias": it.bias, "mae": it.mae, "log_score": it.score,
            "gain": it.gain, "gain_error": it.gain_error, "accuracy": it.accuracy.as_ref().map(accuracy),
            "refusal": it.refusal,
        })).collect::<Vec<_>>(),
        "deciles": it.deciles.iter().map(|it| json!({
            "predicted": it.predicted, "actual": it.actual,
        })).collect::<Vec<_>>(),
    })
}

/// The contenders of a hold-out, as a table.
pub(super) fn contenders(held: &HoldOut) -> String {
    let right = Align::Right;
    let mut table = Table::new([
        ("", Align::Left),
        ("log score", right),
        ("against the default", right),
        ("deviance", right),
        ("bias %", right),
        ("Gini", right),
        ("decile %", right),
        ("", Align::Left),
    ])
    .indented(2);
    let dash = || "–".to_owned();
    for it in &held.contenders {
        let accuracy = it.accuracy.as_ref();
        table.row([
            it.kind.clone(),
            it.score.map_or_else(dash, |it| format!("{it:.4}")),
            match (it.gain, it.gain_error) {
                (Some(gain), Some(error)) => format!("{gain:+.4} ± {error:.4}"),
                _ => dash(),
            },
            accuracy.map_or_else(dash, |it| format!("{:.4}", it.deviance)),
            accuracy.map_or_else(dash, |it| format!("{:+.1}", it.bias_percent)),
            accuracy.map_or_else(dash, |it| format!("{:.4}", it.gini)),
            accuracy.map_or_else(dash, |it| format!("{:.1}", it.decile_error_percent)),
            it.refusal.clone(),
        ]);
    }
    table.to_string()
}

/// Where it stands, in a word.
pub(super) fn state(it: &Model) -> &'static str {
    match it.state() {
        ModelState::Published => "published",
        ModelState::Refused => "refused",
        ModelState::Candidate | ModelState::Unspecified => "candidate",
    }
}

/// What might have made a model finer, and what does.
pub(super) fn finer(it: &Model) -> String {
    if it.trials.is_empty() {
        return String::new();
    }
    let right = Align::Right;
    let mut table =
        Table::new([("finer by", Align::Left), ("gain in log score", right), ("", Align::Left)]).indented(2);
    for it in &it.trials {
        let gain = format!("{:+.4} ± {:.4}", it.gain, it.gain_error);
        table.row([it.name.clone(), gain, if it.won { "serves" } else { "" }.to_owned()]);
    }
    let mut text = format!("\n{table}");
    if !it.effects.is_empty() {
        let mut table = Table::new([
            ("first order", Align::Left),
            ("orders ×", right),
            ("customers", right),
            ("own estimate kept", right),
        ])
        .indented(2);
        for it in &it.effects {
            table.row([
                it.name.clone(),
                format!("{:.2}", it.factor),
                output::count(it.customer_count),
                output::percent(it.kept_share),
            ]);
        }
        text.push_str(&format!("\n{table}"));
    }
    if !it.season.is_empty() {
        let parts: Vec<String> = it.season.iter().map(|it| format!("{it:.2}")).collect();
        text.push_str(&format!("\n  season, by twelfths of the year: {}\n", parts.join(" ")));
    }
    text
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
    for member in &it.members {
        text.push_str(&format!(
            "  {:.2} × {:<12} {}\n",
            member.weight,
            member.kind,
            parameters(&member.parameters)
        ));
    }
    if let Some(held) = &it.hold_out {
        text.push_str(&format!("\n{}  {}\n", contenders(held), held.why));
    }
    text.push_str(&finer(it));
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
