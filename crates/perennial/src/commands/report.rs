//! Pictures of the whole: stages, RFM, the distribution of value, what campaigns earned.

use perennial_api::campaign::v1::{ArmReport, CampaignReport, Effect};
use perennial_api::scoring::v1::ScoreSummary;
use perennial_api::segmentation::v1::SummarizeStagesResponse;
use serde_json::{Value, json};

use super::instant;
use crate::output::{self, Align, Table};
use crate::session::bare;

/// Blocks of lines next to each other.
#[must_use]
pub fn side_by_side(blocks: &[Vec<String>], gap: usize) -> String {
    let width = |block: &Vec<String>| block.iter().map(|it| it.chars().count()).max().unwrap_or_default();
    let height = blocks.iter().map(Vec::len).max().unwrap_or_default();
    let mut text = String::new();
    for row in 0..height {
        let mut line = String::from("  ");
        for block in blocks {
            let cell = block.get(row).map_or("", String::as_str);
            let blanks = width(block) + gap - cell.chars().count();
            line.push_str(cell);
            line.push_str(&" ".repeat(blanks));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Customers by stage, with bars; in the order in which a life goes.
#[must_use]
pub fn stage_lines(stages: &SummarizeStagesResponse) -> Vec<String> {
    let order = [
        "anonymous",
        "lead",
        "evaluating",
        "new_customer",
        "repeat_customer",
        "loyal",
        "reactivated",
        "at_risk",
        "lapsed",
    ];
    let place = |stage: &str| order.iter().position(|it| *it == stage).unwrap_or(order.len());
    let mut found: Vec<(&str, u64)> = stages
        .stages
        .iter()
        .map(|it| (it.stage.as_str(), u64::try_from(it.members).unwrap_or_default()))
        .filter(|(stage, members)| *members > 0 || *stage != "anonymous")
        .collect();
    found.sort_by_key(|(stage, _)| place(stage));
    let most = found.iter().map(|(_, members)| *members).max().unwrap_or_default();
    let mut lines = vec!["Customers by stage".to_owned()];
    lines.extend(found.iter().map(|(stage, members)| {
        format!("{stage:<16}{:>8}  {}", output::thousands(*members), output::bar(*members, most, 5))
    }));
    lines
}

/// The RFM table: rows by recency, columns by money.
#[must_use]
pub fn rfm_lines(scores: &ScoreSummary) -> Vec<String> {
    let mut lines = vec!["RFM (customers)".to_owned()];
    if scores.rfm_cells.is_empty() {
        lines.push("no edges are published yet".to_owned());
        return lines;
    }
    let cell = |recency: i32, monetary: i32| {
        let found = scores.rfm_cells.iter().find(|it| (it.recency, it.monetary) == (recency, monetary));
        output::count(found.map_or(0, |it| it.customer_count))
    };
    let heads: Vec<String> = (1..=5).map(|it| format!("{:>6}", format!("M{it}"))).collect();
    lines.push(format!("  {}", heads.join("")));
    for recency in (1..=5).rev() {
        let cells: Vec<String> = (1..=5).map(|it| format!("{:>6}", cell(recency, it))).collect();
        lines.push(format!("R{recency}{}", cells.join("")));
    }
    lines
}

/// The distribution of predicted value, in whole units of the currency.
#[must_use]
pub fn clv_lines(scores: &ScoreSummary) -> Vec<String> {
    let mut lines = vec![format!("Predictive CLV, 12 months (profit, {})", scores.currency)];
    let Some(clv) = &scores.clv else {
        lines.push("no model is published yet".to_owned());
        return lines;
    };
    let whole = |minor: i64| whole_units(minor, &scores.currency);
    let counts: Vec<u64> =
        clv.bins.iter().map(|it| u64::try_from(it.customer_count).unwrap_or_default()).collect();
    let columns: String = output::histogram(&counts).chars().flat_map(|it| [it, it]).collect();
    lines.push(columns);
    let last = clv.bins.last().map_or(0, |it| it.from_minor);
    let first = clv.bins.first().map_or(0, |it| it.from_minor);
    let (first, last) = (whole(first), format!("{}+", whole(last)));
    let gap = (counts.len() * 2).saturating_sub(first.chars().count() + last.chars().count());
    lines.push(format!("{first}{}{last}", " ".repeat(gap)));
    lines.push(format!("median {}   mean {}", whole(clv.median_minor), whole(clv.mean_minor)));
    lines.push(format!("top 20 % hold {}", output::percent(clv.top_fifth_share)));
    lines.push(format!("by {}", scores.model));
    lines
}

/// RFM and value next to each other, as lines.
#[must_use]
pub fn value_columns(scores: &ScoreSummary) -> Vec<String> {
    side_by_side(&[rfm_lines(scores), clv_lines(scores)], 5).lines().map(str::to_owned).collect()
}

fn whole_units(minor: i64, currency: &str) -> String {
    let text = output::money(minor, currency);
    let amount = text.split(' ').next().unwrap_or_default();
    amount.split('.').next().unwrap_or_default().to_owned()
}

/// A campaign's report, and what a simulator knows of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The report.
    pub report: CampaignReport,
    /// The true incremental profit in minor units, if anybody knows it.
    pub truth: Option<f64>,
}

/// What campaigns earned.
#[must_use]
pub fn campaign_table(rows: &[Row], scale: f64) -> String {
    let right = Align::Right;
    let head = [
        ("Campaign", Align::Left),
        ("sent", right),
        ("treated", right),
        ("held out", right),
        ("incremental profit", right),
        ("95 % interval", right),
        ("true (simulator)", right),
    ];
    let known = rows.iter().any(|it| it.truth.is_some());
    let mut table = if known { Table::new(head) } else { narrow(head) }.indented(2);
    for Row { report, truth } in rows {
        let profit = report.profit.unwrap_or_default();
        let band =
            format!("{} … {}", output::signed(profit.low / scale), output::signed(profit.high / scale));
        let band = if profit.proven { band } else { format!("not proven yet ({band})") };
        let arm = |it: &Option<ArmReport>| it.as_ref().map_or(0, |it| it.customers);
        let mut cells = vec![
            bare(&report.name).to_owned(),
            output::thousands(report.sent),
            output::thousands(arm(&report.treated)),
            output::thousands(arm(&report.held_out)),
            output::signed(profit.estimate / scale),
            band,
        ];
        if known {
            cells.push(truth.map_or_else(|| "–".to_owned(), |it| output::signed(it / scale)));
        }
        table.cells(cells);
        if report.sample_ratio_alarm {
            table.cells(vec!["  ! the arms do not fit the share drawn".to_owned()]);
        }
    }
    table.to_string()
}

fn narrow(head: [(&str, Align); 7]) -> Table {
    let [a, b, c, d, e, f, _] = head;
    Table::new([a, b, c, d, e, f])
}

/// A report as JSON.
#[must_use]
pub fn report_json(it: &CampaignReport) -> Value {
    let arm = |it: &Option<ArmReport>| {
        it.as_ref().map(|it| {
            json!({
                "customers": it.customers, "conversions": it.conversions, "revenue_minor": it.revenue_minor,
                "profit_minor": it.profit_minor, "incentive_minor": it.incentive_minor,
            })
        })
    };
    let effect = |it: &Option<Effect>| {
        it.as_ref().map(|it| {
            json!({
                "estimate": it.estimate, "low": it.low, "high": it.high, "proven": it.proven,
                "per_customer": it.per_customer, "variance_reduction": it.variance_reduction,
            })
        })
    };
    json!({
        "name": bare(&it.name), "as_of_time": instant(it.as_of_time.as_ref()), "treated": arm(&it.treated),
        "held_out": arm(&it.held_out), "open": it.open, "conversions": effect(&it.conversions),
        "revenue": effect(&it.revenue), "profit": effect(&it.profit), "roi": it.roi, "sent": it.sent,
        "sample_ratio_alarm": it.sample_ratio_alarm, "sample_ratio_p_value": it.sample_ratio_p_value,
        "verdict": it.verdict,
    })
}

/// Scores of everybody as JSON.
#[must_use]
pub fn scores_json(it: &ScoreSummary) -> Value {
    let cells: Vec<Value> = it
        .rfm_cells
        .iter()
        .map(|it| json!({ "recency": it.recency, "monetary": it.monetary, "customers": it.customer_count }))
        .collect();
    let clv = it.clv.as_ref().map(|it| {
        let bins: Vec<Value> = it
            .bins
            .iter()
            .map(|it| {
                json!({ "from_minor": it.from_minor, "to_minor": it.to_minor, "customers": it.customer_count })
            })
            .collect();
        json!({
            "bins": bins, "median_minor": it.median_minor, "mean_minor": it.mean_minor,
            "total_minor": it.total_minor, "top_fifth_share": it.top_fifth_share,
        })
    });
    json!({
        "model": it.model, "currency": it.currency, "customers": it.customer_count,
        "repeat_customers": it.repeat_customer_count, "orders": it.order_count,
        "revenue_minor": it.revenue_minor, "profit_minor": it.profit_minor,
        "known_cost_share": it.known_cost_share, "rfm": cells, "clv": clv,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_api::scoring::v1::{ClvBin, ClvDistribution, RfmCell};
    use perennial_api::segmentation::v1::StageSummary;

    #[test]
    fn the_screen_of_the_demo_lines_up() {
        let stage = |stage: &str, members| StageSummary { stage: stage.to_owned(), members };
        let stages = SummarizeStagesResponse {
            stages: vec![
                stage("lapsed", 2_665),
                stage("at_risk", 2_053),
                stage("lead", 5_512),
                stage("anonymous", 0),
            ],
            profiles: 10_230,
        };
        let bin = |from, count| ClvBin { from_minor: from, to_minor: None, customer_count: count };
        let scores = ScoreSummary {
            currency: "EUR".to_owned(),
            model: "pareto-nbd@17".to_owned(),
            rfm_cells: vec![RfmCell { recency: 5, monetary: 1, customer_count: 1_234 }],
            clv: Some(ClvDistribution {
                bins: vec![bin(0, 10), bin(2_000, 80), bin(4_000, 20)],
                median_minor: 3_100,
                top_fifth_share: 0.68,
                ..ClvDistribution::default()
            }),
            ..ScoreSummary::default()
        };
        let screen = side_by_side(&[stage_lines(&stages), rfm_lines(&scores), clv_lines(&scores)], 3);
        let lines: Vec<_> = screen.lines().collect();
        assert!(lines[1].contains("lead") && lines[1].contains("5,512  ▇▇▇▇▇"), "{screen}");
        assert!(lines[2].contains("R5 1,234"), "{screen}");
        assert!(lines[1].contains("▁▁██▂▂"), "{screen}");
        assert!(screen.contains("median 31") && screen.contains("top 20 % hold 68 %"), "{screen}");
        assert!(!screen.contains("anonymous"), "{screen}");
    }

    #[test]
    fn an_interval_that_includes_nothing_gained_says_so() {
        let report = |low, high, proven| CampaignReport {
            name: "workspaces/main/campaigns/welcome".to_owned(),
            profit: Some(Effect { estimate: (low + high) / 2.0, low, high, proven, ..Effect::default() }),
            ..CampaignReport::default()
        };
        let rows = [
            Row { report: report(610_000.0, 3_670_000.0, true), truth: Some(1_895_000.0) },
            Row { report: report(-590_000.0, 800_000.0, false), truth: Some(224_000.0) },
        ];
        let table = campaign_table(&rows, 100.0);
        assert!(
            table.contains("+21,400") && table.contains("+6,100 … +36,700") && table.contains("+18,950"),
            "{table}"
        );
        assert!(table.contains("not proven yet (−5,900 … +8,000)"), "{table}");
        let table = campaign_table(&[Row { report: report(1.0, 2.0, true), truth: None }], 1.0);
        assert!(!table.contains("simulator"), "{table}");
    }
}
