//! `perennial score explain`: what a score is made of.

use perennial_api::scoring::v1::{ExplainScoreRequest, ScoreExplanation};
use serde_json::json;

use super::show::{score_json, score_text};
use crate::output::{self, Align, Table};
use crate::session::{Session, told};

/// Explains the score of one customer.
///
/// # Errors
/// If nobody is known by that name.
pub async fn run(session: &Session, customer: &str) -> anyhow::Result<()> {
    let profile = session.profile(customer).await?;
    let request = ExplainScoreRequest { name: profile.name, as_of_time: None };
    let it = session.scoring().explain_score(request).await.map_err(told)?.into_inner();
    let score = it.score.clone().unwrap_or_default();
    if session.is_json() {
        return output::json(&json!({
            "score": score_json(&score),
            "members": it.members.iter().map(|it| json!({
                "kind": it.kind, "weight": it.weight, "p_alive": it.p_alive,
                "expected_orders_12m": it.expected_orders_12m,
            })).collect::<Vec<_>>(),
            "spend_purchases": it.spend_purchase_count, "own_mean_minor": it.own_mean_minor,
            "population_mean_minor": it.population_mean_minor, "expected_value_minor": it.expected_value_minor,
            "own_margin": it.own_margin, "population_margin": it.population_margin, "margin": score.margin,
            "discounted_orders_12m": it.discounted_orders_12m,
        }));
    }
    let mut text = score_text(&score);
    if score.first_order_time.is_some() {
        text.push_str(&reasons(&it));
    }
    output::show(&text)?;
    Ok(())
}

fn reasons(it: &ScoreExplanation) -> String {
    let score = it.score.clone().unwrap_or_default();
    let money = |minor: i64| output::money(minor, &score.currency);
    let mut text = format!(
        "\n  bought again on {} days, the last one {:.1} weeks after the first, which was {:.1} weeks ago\n",
        score.x, score.t_x_weeks, score.age_weeks
    );
    if it.members.is_empty() {
        text.push_str("  no model is published yet: nothing is foretold\n");
        return text;
    }
    let mut table = Table::new([
        ("orders", Align::Left),
        ("weight", Align::Right),
        ("P(alive)", Align::Right),
        ("in 12 months", Align::Right),
    ])
    .indented(2);
    for member in &it.members {
        table.row([
            member.kind.clone(),
            format!("{:.2}", member.weight),
            format!("{:.3}", member.p_alive),
            format!("{:.3}", member.expected_orders_12m),
        ]);
    }
    text.push_str(&format!("\n{table}"));
    text.push_str(&format!(
        "\n  value of an order  {}: own mean {} over {} repeat purchases, drawn to the population's {}\n",
        money(it.expected_value_minor),
        money(it.own_mean_minor),
        it.spend_purchase_count,
        money(it.population_mean_minor)
    ));
    text.push_str(&format!(
        "  margin             {:.1} %: own {:.1} %, drawn to the population's {:.1} %\n",
        100.0 * score.margin,
        100.0 * it.own_margin,
        100.0 * it.population_margin
    ));
    if let Some(year) = score.values.iter().find(|it| it.months == 12) {
        text.push_str(&format!(
            "  CLV 12 months      {:.3} discounted orders × {} × {:.1} % = {}\n",
            it.discounted_orders_12m,
            money(it.expected_value_minor),
            100.0 * score.margin,
            money(year.expected_minor)
        ));
    }
    text
}
