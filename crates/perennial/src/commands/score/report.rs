//! A backtest as a Markdown report with pictures beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use perennial_api::scoring::v1::{BacktestResponse, Member, ScoreSummary};
use perennial_clv::{Model, Stack, Summary, continuous_rate};

use super::plot::{Line, Titles, bars, heat, histogram, lines};
use crate::output;

/// Weeks of a year.
const YEAR: f64 = 365.25 / 7.0;

/// Discount a year in the curves of equal value.
const DISCOUNT: f64 = 0.10;

/// Writes `report.md` and its pictures into a folder, and says where.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, it: &BacktestResponse, scores: &ScoreSummary) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let picked = it.lines.iter().find(|line| line.selected);
    let name = picked.map_or("the model", |line| line.name.as_str());
    let model = picked.and_then(|line| model_of(&line.members));
    let mut pictures: Vec<(&str, &str, String)> = vec![
        (
            "calibration.svg",
            "Calibration: purchases by tenth of customers, from the lowest forecast up",
            calibration(it)?,
        ),
        ("cumulative.svg", "Repeat purchases since the first day", cumulative(it)?),
    ];
    if let Some(model) = &model {
        let age = age_weeks(it);
        pictures.push(("alive.svg", "P(alive) by frequency and recency", alive(model, age)?));
        pictures.push(("iso_value.svg", "Curves of equal value", equal_value(model, age)?));
    }
    if let Some(picture) = values(scores)? {
        pictures.push(("value.svg", "Predicted value of all customers today", picture));
    }
    let mut text = format!(
        "# Backtest of {}\n\nForecast of {} days from what was known on {}, by what came.\n\n```text\n{}```\n",
        name,
        it.horizon_days,
        it.cutoff_date,
        super::backtest::as_text(it)
    );
    for (file, title, svg) in pictures {
        let path = folder.join(file);
        fs::write(&path, svg).with_context(|| format!("{} cannot be written", path.display()))?;
        text.push_str(&format!("\n## {title}\n\n![{title}]({file})\n"));
    }
    let path = folder.join("report.md");
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// The model from what the wire says of it; nothing if that is not whole.
fn model_of(members: &[Member]) -> Option<Model> {
    let one = |it: &Member| {
        let parameters = it.parameters.iter().map(|it| (it.name.as_str(), it.value));
        Model::from_params(it.kind.parse().ok()?, parameters).ok()
    };
    match members {
        [] => None,
        [only] => one(only),
        all => {
            let members: Option<Vec<(f64, Model)>> =
                all.iter().map(|it| Some((it.weight, one(it)?))).collect();
            Stack::new(&members?).ok().map(Model::Stack)
        }
    }
}

/// How long the longest history is, in weeks.
fn age_weeks(it: &BacktestResponse) -> f64 {
    let day = |text: &str| text.parse::<jiff::civil::Date>().ok();
    let days = day(&it.first_date).zip(day(&it.cutoff_date)).map_or(365, |(from, to)| (to - from).get_days());
    f64::from(days.max(7)) / 7.0
}

fn calibration(it: &BacktestResponse) -> anyhow::Result<String> {
    let pairs: Vec<(f64, f64)> = it.deciles.iter().map(|it| (it.predicted, it.actual)).collect();
    let titles =
        Titles { title: "Forecast and actual purchases a customer", x: "tenth by forecast", y: "purchases" };
    bars(&titles, ["forecast", "actual"], &pairs)
}

fn cumulative(it: &BacktestResponse) -> anyhow::Result<String> {
    let sums = |value: fn(&perennial_api::scoring::v1::Period) -> f64| {
        let mut sum = 0.0;
        let mut points = vec![(0.0, 0.0)];
        for (week, it) in it.weeks.iter().enumerate() {
            sum += value(it);
            points.push((week as f64 + 1.0, sum));
        }
        points
    };
    let actual = Line { name: "actual", points: sums(|it| it.actual) };
    let expected = Line { name: "expected by the picked model", points: sums(|it| it.expected) };
    let titles = Titles { title: "Cumulative repeat purchases", x: "week", y: "purchases" };
    lines(&titles, &[actual, expected], Some((age_weeks(it), "forecast from here")))
}

fn alive(model: &Model, age: f64) -> anyhow::Result<String> {
    let titles = Titles {
        title: "P(alive) by frequency and recency",
        x: "repeat purchases",
        y: "week of the last purchase",
    };
    let most = 20_u32;
    heat(&titles, (most + 1, 40), (f64::from(most) + 1.0, age), |x, t_x| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cell of 0 to 20")]
        let x = x.floor() as u32;
        let t_x = if x == 0 { 0.0 } else { t_x };
        Some(model.p_alive(&Summary::new(x, t_x, age).ok()?))
    })
}

/// Discounted expected purchases without end, by recency, for some frequencies: more purchases long ago are worth less.
fn equal_value(model: &Model, age: f64) -> anyhow::Result<String> {
    let rate = continuous_rate(DISCOUNT, YEAR);
    let curves = [1_u32, 2, 4, 7, 14].map(|x| {
        let at = |step: u32| {
            let t_x = age * f64::from(step) / 60.0;
            Some((t_x, model.discounted(&Summary::new(x, t_x, age).ok()?, f64::INFINITY, rate)))
        };
        let name = if x == 1 { "1 repeat purchase".to_owned() } else { format!("{x} repeat purchases") };
        (name, (1..=60).filter_map(at).collect::<Vec<_>>())
    });
    let curves: Vec<Line<'_>> =
        curves.iter().map(|(name, points)| Line { name, points: points.clone() }).collect();
    let titles = Titles {
        title: "Discounted expected purchases still to come",
        x: "week of the last purchase",
        y: "discounted purchases",
    };
    lines(&titles, &curves, None)
}

fn values(scores: &ScoreSummary) -> anyhow::Result<Option<String>> {
    let Some(clv) = &scores.clv else { return Ok(None) };
    let decimals = clv.bins.last().is_some_and(|it| it.from_minor < 10_000);
    let amount = |minor: i64| {
        let text = output::money(minor, &scores.currency);
        let number = text.split(' ').next().unwrap_or_default().to_owned();
        if decimals { number } else { number.split('.').next().unwrap_or_default().to_owned() }
    };
    // Each column stands for the values from its name up to the next one's.
    let columns: Vec<(String, f64)> = clv
        .bins
        .iter()
        .map(|it| {
            let open = if it.to_minor.is_none() { " +" } else { "" };
            (format!("{}{open}", amount(it.from_minor)), it.customer_count as f64)
        })
        .collect();
    let along = format!("predicted profit of 12 months from … on, {}", scores.currency);
    let titles = Titles { title: "Customers by predicted value", x: &along, y: "customers" };
    Ok(Some(histogram(&titles, &columns)?))
}
