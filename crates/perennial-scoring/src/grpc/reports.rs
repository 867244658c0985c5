//! Backtests, hold-outs, drift and explanations as messages.

use perennial_api::scoring::v1 as api;
use perennial_clv::Model;
use perennial_clv::evaluate::{Contender, Measured, Metrics, Selection, Step};
use perennial_rpc::time;
use perennial_types::Workspace;
use prost::Message;

use super::wire::{int, score};
use crate::app::{Explanation, Standing, Tested};
use crate::domain::calendar::date_text;
use crate::domain::drift::{Drift, Watched};
use crate::domain::fit::refusal;
use crate::domain::lens::{Effect, Lens};
use crate::domain::refine::Trial;
use crate::store::{Run, RunState};

/// The models of which one consists, with their parameters.
pub fn members(model: &Model) -> Vec<api::Member> {
    let parameter =
        |(name, value): (&str, f64)| api::Parameter { name: name.to_owned(), value, standard_error: None };
    let member = |(weight, it): (f64, Model)| api::Member {
        kind: it.kind().to_string(),
        weight,
        parameters: it.params().into_iter().map(parameter).collect(),
    };
    model.members().into_iter().map(member).collect()
}

fn accuracy(it: &Metrics) -> api::Accuracy {
    api::Accuracy {
        deviance: it.deviance,
        mae: it.mae,
        rmse: it.rmse,
        bias_percent: it.bias_percent,
        spearman: it.spearman,
        gini: it.gini,
        auc: it.auc,
        decile_error_percent: it.decile_error_percent,
        top_fifth_percent: it.top_fifth_percent,
    }
}

fn calibration(it: &Measured) -> api::Calibration {
    api::Calibration {
        score: it.score,
        median_mae: it.median_mae,
        pit_distance: it.pit_distance,
        coverage: it.coverage,
        block_count: i32::try_from(it.blocks).unwrap_or(i32::MAX),
        total_coverage: it.total_coverage,
    }
}

fn deciles(it: &[(f64, f64)]) -> Vec<api::Decile> {
    it.iter().map(|(predicted, actual)| api::Decile { predicted: *predicted, actual: *actual }).collect()
}

/// What was held out, and how everybody did.
pub fn hold_out(it: &Selection) -> api::HoldOut {
    let contender = |it: &Contender| api::Contender {
        kind: it.name.clone(),
        deviance: it.metrics.map_or(0.0, |it| it.deviance),
        bias: it.metrics.map_or(0.0, |it| it.bias_percent / 100.0),
        mae: it.metrics.map_or(0.0, |it| it.mae),
        score: it.score,
        gain: it.gain.map(|it| it.0),
        gain_error: it.gain.map(|it| it.1),
        accuracy: it.metrics.as_ref().map(accuracy),
        refusal: it.refused.as_ref().map(|reason| refusal(&it.name, reason)).unwrap_or_default(),
    };
    // The latest first, as a person thinks of them.
    let origins = || it.origins.iter().rev();
    api::HoldOut {
        cutoff_dates: origins().map(|it| date_text(it.cut)).collect(),
        horizon_days: it.origins.iter().map(|it| it.horizon).max().unwrap_or_default(),
        contenders: it.contenders.iter().map(contender).collect(),
        deciles: deciles(&it.deciles),
        origins: origins()
            .map(|it| api::Origin { cutoff_date: date_text(it.cut), horizon_days: it.horizon })
            .collect(),
        why: it.why.clone(),
        level_spread: it.level.spread,
    }
}

/// A backtest.
pub fn backtest((it, weeks): &Tested) -> api::BacktestResponse {
    let line = |it: &perennial_clv::evaluate::Line| api::BacktestLine {
        name: it.name.clone(),
        selected: it.is_selected,
        members: it.model.as_ref().map(members).unwrap_or_default(),
        error: it.error.clone().unwrap_or_default(),
        accuracy: it.metrics.as_ref().map(accuracy),
        calibration: it.measured.as_ref().map(calibration),
    };
    let week = |it: &Step| api::Period {
        end_date: date_text(it.day),
        actual: it.actual,
        expected: it.expected,
        ..api::Period::default()
    };
    api::BacktestResponse {
        cutoff_date: date_text(it.cutoff),
        horizon_days: it.horizon,
        first_date: date_text(it.first_day),
        customer_count: int(it.customers),
        repeat_purchase_count: int(it.repeat_purchases),
        held_out_purchase_count: int(it.held_out),
        active_percent: it.active_percent,
        selection: Some(hold_out(&it.selection)),
        lines: it.lines.iter().map(line).collect(),
        deciles: deciles(&it.deciles),
        weeks: weeks.iter().map(week).collect(),
    }
}

/// The watch over a model.
pub fn drift((model, it): &(String, Drift)) -> api::Drift {
    let period = |it: &Watched| api::Period {
        end_date: date_text(it.day),
        actual: it.actual,
        expected: it.expected,
        low: it.band.0,
        high: it.band.1,
    };
    api::Drift {
        model: model.clone(),
        cutoff_date: date_text(it.cutoff),
        weeks: it.weeks.iter().map(period).collect(),
        total: it.total.as_ref().map(period),
        breach_count: i32::try_from(it.breaches).unwrap_or(i32::MAX),
        drifting: it.is_drifting,
        verdict: it.verdict(),
    }
}

/// What a score is made of.
pub fn explanation(workspace: &Workspace, it: &Explanation) -> api::ScoreExplanation {
    let member = |it: &crate::app::MemberForecast| api::MemberForecast {
        kind: it.kind.clone(),
        weight: it.weight,
        p_alive: it.p_alive,
        expected_orders_12m: it.orders,
    };
    api::ScoreExplanation {
        score: Some(score(workspace, &it.score)),
        members: it.members.iter().map(member).collect(),
        spend_purchase_count: it.spend.0.into(),
        own_mean_minor: it.spend.1,
        population_mean_minor: it.population_mean,
        expected_value_minor: it.expected_value,
        own_margin: it.own_margin,
        population_margin: it.population_margin,
        discounted_orders_12m: it.discounted_orders,
    }
}

/// How something that might make a model finer did.
pub fn trial(it: &Trial) -> api::Trial {
    api::Trial {
        name: it.name.clone(),
        gain: it.gain,
        gain_error: it.error,
        judged_count: int(it.judged),
        won: it.won,
    }
}

/// What a model adds for some customers.
pub fn effects(lens: &Lens) -> Vec<api::Effect> {
    let effect = |it: &Effect| api::Effect {
        name: it.name(),
        factor: it.change.exp(),
        customer_count: int(it.customers),
        kept_share: it.kept,
    };
    lens.effects.iter().map(effect).collect()
}

/// Where a fit stands.
pub fn operation(workspace: &Workspace, (run, model): &Standing) -> api::FitOperation {
    let count = |it: i64| i32::try_from(it).unwrap_or(i32::MAX);
    api::FitOperation {
        name: format!("{}/fits/{}", workspace.resource(), run.id),
        done: run.state != RunState::Running,
        create_time: Some(time::to_wire(run.created_at)),
        steps_done: count(run.done),
        steps_total: count(run.total),
        phase: run.phase.clone(),
        model: model.as_ref().map(|it| super::wire::model(workspace, it)),
        error: run.error.clone(),
        cancelled: run.state == RunState::Cancelled,
    }
}

/// Where a backtest stands.
pub fn testing(workspace: &Workspace, run: &Run) -> api::BacktestOperation {
    let count = |it: i64| i32::try_from(it).unwrap_or(i32::MAX);
    let result = run.result.as_deref().and_then(|it| api::BacktestResponse::decode(it).ok());
    api::BacktestOperation {
        name: format!("{}/backtests/{}", workspace.resource(), run.id),
        done: run.state != RunState::Running,
        create_time: Some(time::to_wire(run.created_at)),
        steps_done: count(run.done),
        steps_total: count(run.total),
        phase: run.phase.clone(),
        result,
        error: run.error.clone(),
        cancelled: run.state == RunState::Cancelled,
    }
}
