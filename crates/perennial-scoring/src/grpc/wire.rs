//! The domain's words as messages.

use perennial_api::scoring::v1 as api;
use perennial_clv::{Kind, Report, Status};
use perennial_rpc::time;
use perennial_types::Workspace;

use super::reports;
use crate::app::{Score, Summary};
use crate::domain::calendar::date_text;
use crate::domain::model::{self, Registered};
use crate::domain::score::Cause;

/// A count as the wire has it.
pub fn int(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn parameters(report: &Report) -> Vec<api::Parameter> {
    let of = |it: &perennial_clv::Estimate| api::Parameter {
        name: it.name.clone(),
        value: it.value,
        standard_error: it.standard_error,
    };
    report.estimates.iter().map(of).collect()
}

/// The parameters of the model that serves, which on a boundary is the limiting one, with the errors of the report.
fn served(fit: &perennial_clv::Fit) -> Vec<api::Parameter> {
    let of = |(name, value): (&'static str, f64)| api::Parameter {
        name: name.to_owned(),
        value,
        standard_error: fit.report.standard_error(name),
    };
    if fit.model.kind() == Kind::Stack {
        // Its weights.
        return parameters(&fit.report);
    }
    fit.model.params().into_iter().map(of).collect()
}

/// A registered model.
pub fn model(workspace: &Workspace, it: &Registered) -> api::Model {
    let finding = &it.finding;
    let mut message = api::Model {
        name: format!("{}/models/{}", workspace.resource(), it.label()),
        kind: finding.kind(),
        version: it.version,
        state: match it.status {
            model::Status::Candidate => api::ModelState::Candidate,
            model::Status::Published => api::ModelState::Published,
            model::Status::Refused => api::ModelState::Refused,
        }
        .into(),
        reason: it.reason.clone(),
        create_time: Some(time::to_wire(it.created_at)),
        publish_time: it.published_at.map(time::to_wire),
        first_date: date_text(finding.first_day),
        cutoff_date: date_text(finding.cutoff_day),
        customer_count: int(finding.customers),
        repeat_customer_count: int(finding.repeaters),
        currency: finding.currency.code().to_owned(),
        population: Some(api::Population {
            margin: finding.population.margin,
            mean_value_minor: finding.population.mean_value.round() as i64,
            second_purchase_days: finding.population.second_purchase_days.unwrap_or_default(),
        }),
        hold_out: finding.hold_out.as_ref().map(reports::hold_out),
        ..api::Model::default()
    };
    if let Some(refined) = &finding.refined {
        message.trials = refined.trials.iter().map(reports::trial).collect();
        message.effects = reports::effects(&refined.lens);
        message.season = refined.lens.season.as_ref().map(|it| it.weights().to_vec()).unwrap_or_default();
    }
    if let Some(fitted) = &finding.fitted {
        let report = &fitted.orders.report;
        message.distinct_history_count = int(report.rows);
        message.parameters = served(&fitted.orders);
        message.log_likelihood = report.ln_likelihood;
        (message.fit_status, message.fit_note) = match &report.status {
            Status::Optimum => ("optimum".to_owned(), String::new()),
            Status::Boundary { meaning, .. } => ("boundary".to_owned(), meaning.clone()),
            _ => ("not_converged".to_owned(), String::new()),
        };
        for note in &finding.notes {
            let separator = if message.fit_note.is_empty() { "" } else { "; " };
            message.fit_note.push_str(&format!("{separator}{note}"));
        }
        if fitted.orders.model.kind() == Kind::Stack {
            message.members = reports::members(&fitted.orders.model);
        }
        message.spend_parameters = parameters(&fitted.spend.report);
        message.spend_log_likelihood = fitted.spend.report.ln_likelihood;
        message.spend_customer_count = fitted.spend.report.customers.round() as i64;
        message.spend_correlation = fitted.spend.correlation;
    }
    message
}

/// A score.
pub fn score(workspace: &Workspace, it: &Score) -> api::Score {
    let figures = &it.figures;
    let (x, t_x, age) = it.history.unwrap_or_default();
    let (model, cutoff) = it.model.clone().unwrap_or_default();
    let revenue = figures.revenue as f64;
    let predicted = it.has_model && figures.orders > 0;
    let value = |it: &crate::domain::score::Worth| api::Value {
        months: it.months.unwrap_or_default(),
        expected_minor: it.expected,
        expected_orders: it.orders,
        intervals: it
            .intervals
            .iter()
            .map(|(level, low, high)| api::Interval { level: *level, low_minor: *low, high_minor: *high })
            .collect(),
    };
    api::Score {
        name: format!("{}/profiles/{}", workspace.resource(), it.profile),
        as_of_time: Some(time::to_wire(it.at)),
        model_cutoff_date: if model.is_empty() { String::new() } else { date_text(cutoff) },
        model,
        currency: it.currency.map(|it| it.code().to_owned()).unwrap_or_default(),
        orders: figures.orders.into(),
        revenue_minor: figures.revenue,
        profit_minor: figures.profit,
        refund_minor: figures.refunds,
        known_cost_share: if revenue > 0.0 { figures.known as f64 / revenue } else { 0.0 },
        margin: it.margin,
        first_order_time: figures.first.map(time::to_wire),
        last_order_time: figures.last.map(time::to_wire),
        x: x.into(),
        t_x_weeks: t_x,
        age_weeks: age,
        p_alive: predicted.then_some(it.brief.p_alive),
        expected_orders_90d: it.brief.orders_90d,
        expected_profit_90d_minor: it.brief.profit_90d,
        values: it.values.iter().map(value).collect(),
        next_order: it.next_order.as_ref().map(|it| {
            let [early, median, late] = it.at.map(|it| it.map(time::to_wire));
            api::NextOrder { early_time: early, median_time: median, late_time: late, never: it.never }
        }),
        clv_percentile: predicted.then_some(it.brief.percentile),
        clv_decile: it.brief.decile.filter(|_| predicted).map(Into::into),
        rfm: it.brief.rfm.map(|it| api::Rfm {
            recency: it.recency.into(),
            frequency: it.frequency.into(),
            monetary: it.monetary.into(),
        }),
        overdue_time: it.brief.instants.map(|it| time::to_wire(it.overdue)),
        overdue_reason: it.brief.instants.map(|it| cause(it.cause).to_owned()).unwrap_or_default(),
        effects: it
            .effects
            .iter()
            .map(|(name, factor)| api::Factor { name: name.clone(), factor: *factor })
            .collect(),
        lapse_time: it.brief.instants.map(|it| time::to_wire(it.lapse)),
        reactivated: it.reactivated,
    }
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Rhythm => "the customer's own rhythm, by the model",
        Cause::SecondOrder => "three in four of those who order again have done so by then",
        Cause::Maximum => "the longest silence the workspace allows",
    }
}

/// All customers together.
pub fn summary(it: Summary) -> api::ScoreSummary {
    let failed = it.failed_fit.clone();
    let cell = |(recency, monetary, customers): (i64, i64, i64)| api::RfmCell {
        recency: i32::try_from(recency).unwrap_or_default(),
        monetary: i32::try_from(monetary).unwrap_or_default(),
        customer_count: customers,
    };
    let known = it.rfm.clone();
    // All cells, also those without anybody: a table has no holes.
    let cells = (1..=5).flat_map(|recency| (1..=5).map(move |monetary| (recency, monetary)));
    let count =
        |recency, monetary| known.iter().find(|it| it.0 == recency && it.1 == monetary).map_or(0, |it| it.2);
    let rfm_cells = if it.rfm.is_empty() {
        Vec::new()
    } else {
        cells.map(|(recency, monetary)| cell((recency, monetary, count(recency, monetary)))).collect()
    };
    let revenue = it.reach.revenue as f64;
    api::ScoreSummary {
        model: it.model.unwrap_or_default(),
        currency: it.currency.map(|it| it.code().to_owned()).unwrap_or_default(),
        customer_count: it.reach.customers,
        repeat_customer_count: it.reach.repeaters,
        order_count: it.reach.orders,
        revenue_minor: it.reach.revenue,
        profit_minor: it.reach.profit,
        known_cost_share: if revenue > 0.0 { it.reach.known as f64 / revenue } else { 0.0 },
        rfm_cells,
        failed_fit_time: failed.as_ref().map(|it| time::to_wire(it.0)),
        failed_fit: failed.map(|it| it.1).unwrap_or_default(),
        clv: it.clv.map(|it| api::ClvDistribution {
            bins: it
                .bins
                .iter()
                .map(|(from, to, customers)| api::ClvBin {
                    from_minor: *from,
                    to_minor: *to,
                    customer_count: int(*customers),
                })
                .collect(),
            median_minor: it.median,
            mean_minor: it.mean,
            total_minor: it.total,
            top_fifth_share: it.top_fifth_share,
        }),
    }
}
