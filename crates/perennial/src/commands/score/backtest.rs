//! `perennial score backtest`: forecasts from a day in the past against what came. Shows how far it is, and stops it if the
//! person does.

use std::path::Path;

use anyhow::{anyhow, bail};
use perennial_api::scoring::v1::{
    BacktestLine, BacktestOperation, BacktestRequest, BacktestResponse, CancelBacktestRequest,
    GetBacktestRequest, StartBacktestRequest, SummarizeScoresRequest,
};
use serde_json::{Map, Value, json};

use super::model::{hold_out_json, members_json};
use super::{follow, report};
use crate::output::{self, Align, Table};
use crate::session::{Session, told};

/// Runs a backtest, shows it, and writes a report where asked.
///
/// # Errors
/// If scoring refuses, or the report cannot be written.
pub async fn run(
    session: &Session,
    cutoff: String,
    horizon: &str,
    folder: Option<&Path>,
) -> anyhow::Result<()> {
    let request =
        BacktestRequest { parent: session.parent(), cutoff_date: cutoff, horizon_days: days(horizon)? };
    let found = tested(session, request).await?;
    if let Some(folder) = folder {
        let summary = SummarizeScoresRequest { parent: session.parent() };
        let summary = session.scoring().summarize_scores(summary).await.map_err(told)?.into_inner();
        let file = report::write(folder, &found, &summary)?;
        output::say(&format!("  report: {}", file.display()));
    }
    if session.is_json() {
        return output::json(&as_json(&found));
    }
    output::show(&as_text(&found))?;
    Ok(())
}

/// Begins a backtest and waits for its result.
async fn tested(session: &Session, request: BacktestRequest) -> anyhow::Result<BacktestResponse> {
    let request = StartBacktestRequest { backtest: Some(request) };
    let begun = session.scoring().start_backtest(request).await.map_err(told)?.into_inner();
    let stands = |it: &BacktestOperation| follow::Stands {
        is_done: it.done,
        steps: (it.steps_done, it.steps_total),
        phase: it.phase.clone(),
    };
    let name = begun.name.clone();
    let get = async || {
        let request = GetBacktestRequest { name: name.clone() };
        Ok(session.scoring().get_backtest(request).await.map_err(told)?.into_inner())
    };
    let cancel = async || {
        let request = CancelBacktestRequest { name: name.clone() };
        session.scoring().cancel_backtest(request).await.map_err(told)?;
        Ok(())
    };
    let ended = follow::to_the_end(begun, stands, get, cancel).await?;
    ended.result.ok_or_else(|| anyhow!("{}", ended.error))
}

/// Reads `39w`, `273d`, `2y` (of 365 days) or a number of days.
fn days(text: &str) -> anyhow::Result<i32> {
    let (number, unit) = match text.strip_suffix(['d', 'w', 'y']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "d"),
    };
    let number: i32 = number
        .trim()
        .parse()
        .map_err(|_| anyhow!("--horizon {text:?} is no length: write 39w, 273d or 1y"))?;
    let each = match unit {
        "w" => 7,
        "y" => 365,
        _ => 1,
    };
    match number.checked_mul(each) {
        Some(days) if days > 0 => Ok(days),
        _ => bail!("--horizon {text:?} is out of range: forecast at least a day"),
    }
}

fn as_json(it: &BacktestResponse) -> Value {
    let selected = it.lines.iter().find(|line| line.selected).map(|line| line.name.as_str());
    json!({
        "cutoff_date": it.cutoff_date, "horizon_days": it.horizon_days, "first_date": it.first_date,
        "customers": it.customer_count, "repeat_purchases": it.repeat_purchase_count,
        "held_out_purchases": it.held_out_purchase_count, "active_percent": it.active_percent,
        "selected": selected,
        "selection": it.selection.as_ref().map(hold_out_json),
        "models": it.lines.iter().map(line_json).collect::<Vec<_>>(),
        "deciles": it.deciles.iter().map(|it| json!({
            "predicted": it.predicted, "actual": it.actual,
        })).collect::<Vec<_>>(),
    })
}

fn line_json(it: &BacktestLine) -> Value {
    let mut fields = Map::new();
    fields.insert("name".to_owned(), it.name.clone().into());
    fields.insert("selected".to_owned(), it.selected.into());
    let mut add = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    if let Some(it) = &it.accuracy {
        add("deviance", it.deviance.into());
        add("mae", it.mae.into());
        add("rmse", it.rmse.into());
        add("bias_percent", it.bias_percent.into());
        add("spearman", it.spearman.into());
        add("gini", it.gini.into());
        add("auc", it.auc.into());
        add("decile_error_percent", it.decile_error_percent.into());
        add("top_fifth_percent", it.top_fifth_percent.into());
    }
    if let Some(it) = &it.calibration {
        add("log_score", it.score.into());
        add("median_mae", it.median_mae.into());
        add("pit_distance", it.pit_distance.into());
        add("coverage_80", it.coverage.into());
        add("total_blocks", it.block_count.into());
        add("total_coverage_80", it.total_coverage.into());
    }
    if !it.members.is_empty() {
        add("members", members_json(&it.members));
    }
    if !it.error.is_empty() {
        add("error", it.error.clone().into());
    }
    Value::Object(fields)
}

/// The table for people; the errors of counts are those of the mean, but the first MAE is the median's.
pub(super) fn as_text(it: &BacktestResponse) -> String {
    let mut text = format!(
        "  {} – {} seen, {} days forecast\n  {} customers, {} repeat purchases seen, {} held out; {:.1} % bought again\n",
        it.first_date,
        it.cutoff_date,
        it.horizon_days,
        output::count(it.customer_count),
        output::count(it.repeat_purchase_count),
        output::count(it.held_out_purchase_count),
        it.active_percent
    );
    if let Some(selection) = &it.selection {
        text.push_str(&format!("  * picked without looking ahead: {}\n", selection.why));
    }
    text.push('\n');
    text.push_str(&table(it).to_string());
    text.push_str(
        "\n  deviance: lower is better, and what to go by. MAE rewards forecasting nothing: of the median, and of the mean.\n  \
         80 %: customers, and totals of blocks of customers, inside their 80 % interval. PIT: 0 is calibrated.\n",
    );
    text
}

fn table(it: &BacktestResponse) -> Table {
    let right = Align::Right;
    let mut table = Table::new([
        ("", Align::Left),
        ("deviance", right),
        ("MAE median", right),
        ("MAE", right),
        ("RMSE", right),
        ("bias %", right),
        ("Spearman", right),
        ("Gini", right),
        ("AUC", right),
        ("decile %", right),
        ("PIT", right),
        ("80 %", right),
        ("totals", right),
    ])
    .indented(2);
    for line in &it.lines {
        let mark = if line.selected { "* " } else { "  " };
        let name = format!("{mark}{}", line.name);
        let Some(m) = &line.accuracy else {
            table.cells(vec![name, line.error.clone()]);
            continue;
        };
        let of = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |it| format!("{it:.3}"));
        let c = line.calibration.as_ref();
        table.row([
            name,
            format!("{:.4}", m.deviance),
            of(c.map(|it| it.median_mae)),
            format!("{:.3}", m.mae),
            format!("{:.3}", m.rmse),
            format!("{:+.1}", m.bias_percent),
            format!("{:.3}", m.spearman),
            format!("{:.4}", m.gini),
            format!("{:.4}", m.auc),
            format!("{:.1}", m.decile_error_percent),
            of(c.map(|it| it.pit_distance)),
            of(c.map(|it| it.coverage)),
            of(c.map(|it| it.total_coverage)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        assert_eq!(
            [days("39w").unwrap(), days("273").unwrap(), days("14d").unwrap(), days("2y").unwrap()],
            [273, 273, 14, 730]
        );
        for wrong in ["", "w", "0d", "-3w", "1.5w", "999999999w"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
