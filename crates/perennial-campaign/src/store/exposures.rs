//! Who is in which arm, and what became of them: the rows that reports are computed from.

use std::collections::BTreeMap;

use perennial_store::{Column, ConnectionTrait, QueryResult, Result, Table, delete_rows, insert_rows, query};
use perennial_types::{ProfileId, Timestamp, Workspace, micros};

use super::get;
use crate::domain::effect::Exposed;
use crate::domain::stats::{Arm, Moments};

pub const TABLE: Table = Table {
    name: "exposure",
    columns: &[
        ("workspace", Column::Text),
        ("campaign", Column::Text),
        ("profile", Column::Uuid),
        ("held_out", Column::Bool),
        ("share", Column::Double),
        ("entered", Column::BigInt),
        ("matures", Column::BigInt),
        ("pre_profit", Column::BigInt),
        ("predicted", Column::BigInt),
        ("converted", Column::Bool),
        ("revenue", Column::BigInt),
        ("profit", Column::BigInt),
        ("incentive", Column::BigInt),
        ("expected", Column::BigInt),
    ],
};

const UPDATE: &str = "ON CONFLICT (workspace, campaign, profile) DO UPDATE SET held_out = excluded.held_out,
    share = excluded.share, entered = excluded.entered, matures = excluded.matures, pre_profit = excluded.pre_profit,
    predicted = excluded.predicted, converted = excluded.converted, revenue = excluded.revenue,
    profit = excluded.profit, incentive = excluded.incentive,
    expected = excluded.expected";

/// Writes exposures as they stand; of several rows of one profile and campaign the last counts.
pub async fn save(db: &impl ConnectionTrait, exposures: Vec<(Workspace, Exposed)>) -> Result<()> {
    let mut last = BTreeMap::new();
    for (workspace, it) in exposures {
        last.insert((workspace, it.campaign.clone(), it.profile), it);
    }
    let rows = last.into_iter().map(|((workspace, campaign, profile), it)| {
        vec![
            workspace.as_str().into(),
            campaign.into(),
            profile.0.into(),
            it.held_out.into(),
            it.share.into(),
            it.entered.into(),
            it.matures.into(),
            it.pre_profit.into(),
            it.predicted.into(),
            it.totals.converted.into(),
            it.totals.revenue.into(),
            it.totals.profit.into(),
            it.totals.incentive.into(),
            it.expected.into(),
        ]
    });
    insert_rows(db, &TABLE, rows.collect(), UPDATE).await.map(drop)
}

/// Drops the exposures of profiles that were merged into others.
pub async fn forget(db: &impl ConnectionTrait, profiles: &[(Workspace, ProfileId)]) -> Result<()> {
    const KEY: Table =
        Table { name: "exposure", columns: &[("workspace", Column::Text), ("profile", Column::Uuid)] };
    let keys = profiles.iter().map(|(workspace, it)| vec![workspace.as_str().into(), it.0.into()]).collect();
    delete_rows(db, &KEY, keys).await.map(drop)
}

/// The arms of a campaign over those whose window has closed at `at`, and how many are still open.
pub async fn arms(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    campaign: &str,
    at: Timestamp,
) -> Result<(Arm, Arm, u64)> {
    // Doubles throughout: squares of money overflow 64 bits.
    let (x1, x2) = ("CAST(pre_profit AS DOUBLE PRECISION)", "CAST(predicted AS DOUBLE PRECISION)");
    let mut sums = vec![
        "COUNT(*) AS n".to_owned(),
        "SUM(share) AS share".to_owned(),
        "SUM(CAST(incentive AS DOUBLE PRECISION)) AS incentive".to_owned(),
        "SUM(CAST(expected AS DOUBLE PRECISION)) AS expected".to_owned(),
        format!("SUM({x1}) AS x1, SUM({x2}) AS x2"),
        format!("SUM({x1} * {x1}) AS x11, SUM({x1} * {x2}) AS x12, SUM({x2} * {x2}) AS x22"),
    ];
    for (name, y) in OUTCOMES {
        sums.push(format!("SUM({y}) AS {name}_y, SUM({y} * {y}) AS {name}_yy"));
        sums.push(format!("SUM({x1} * {y}) AS {name}_x1y, SUM({x2} * {y}) AS {name}_x2y"));
    }
    let sql = format!(
        "SELECT held_out, {} FROM exposure WHERE workspace = $1 AND campaign = $2 AND matures <= $3 GROUP BY held_out",
        sums.join(", ")
    );
    let values = vec![workspace.as_str().into(), campaign.into(), micros(at).into()];
    let (mut treated, mut held_out) = (Arm::default(), Arm::default());
    for row in query(db, "a campaign's arms", &sql, values.clone()).await? {
        let arm = arm(&row)?;
        if get(&row, "held_out")? { held_out = arm } else { treated = arm }
    }
    let sql = "SELECT COUNT(*) AS n FROM exposure WHERE workspace = $1 AND campaign = $2 AND matures > $3";
    let rows = query(db, "open windows", sql, values).await?;
    let open = rows.first().map_or(Ok(0), |it| get::<i64>(it, "n"))?;
    Ok((treated, held_out, u64::try_from(open).unwrap_or_default()))
}

const OUTCOMES: [(&str, &str); 3] = [
    ("c", "CAST(CASE WHEN converted THEN 1 ELSE 0 END AS DOUBLE PRECISION)"),
    ("r", "CAST(revenue AS DOUBLE PRECISION)"),
    ("p", "CAST(profit AS DOUBLE PRECISION)"),
];

fn arm(row: &QueryResult) -> Result<Arm> {
    #[expect(clippy::cast_precision_loss, reason = "customers are far fewer than 2^53")]
    let n = get::<i64>(row, "n")? as f64;
    let x12 = get(row, "x12")?;
    let moments = |name: &str| -> Result<Moments> {
        let sum = |suffix: &str| -> Result<f64> {
            let column = format!("{name}_{suffix}");
            row.try_get("", &column).map_err(|error| perennial_store::StoreError::Corrupt {
                what: "a sum of outcomes",
                reason: error.to_string(),
            })
        };
        Ok(Moments {
            n,
            x: [get(row, "x1")?, get(row, "x2")?],
            xx: [[get(row, "x11")?, x12], [x12, get(row, "x22")?]],
            y: sum("y")?,
            yy: sum("yy")?,
            xy: [sum("x1y")?, sum("x2y")?],
        })
    };
    Ok(Arm {
        conversions: moments("c")?,
        revenue: moments("r")?,
        profit: moments("p")?,
        incentive: get(row, "incentive")?,
        expected: get(row, "expected")?,
        expected_held_out: get(row, "share")?,
    })
}
