//! `perennial score predict`: what a model with given parameters says of given histories. Needs no data and no server.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use perennial_clv::{BgBb, Kind, Model, Occasions, Summary};
use serde_json::{Value, json};

use crate::output::{self, Align, Format, Table};

/// Names that other packages give to models.
const ALIASES: [(&str, &str); 6] = [
    ("pnbd", "pareto-nbd"),
    ("bgnbd", "bg-nbd"),
    ("mbgnbd", "mbg-nbd"),
    ("bg-cnbd", "bg-cnbd-2"),
    ("mbg-cnbd", "mbg-cnbd-2"),
    ("bgbb", "bg-bb"),
];

/// A model, in continuous time or over discrete occasions.
enum Predictor {
    Times(Box<Model>),
    Occasions(BgBb),
}

/// One row as it was given.
#[derive(Clone, Copy)]
struct Row {
    x: f64,
    t_x: f64,
    age: f64,
    horizon: f64,
    ln_gaps: f64,
}

/// A line of the file, and what is said of it or what is wrong with it.
type Said = (usize, Result<(Row, Answer), String>);

/// What is said of one row.
struct Answer {
    ln_likelihood: f64,
    p_alive: f64,
    ln_p_alive: f64,
    expected: f64,
}

/// Reads histories and shows what the model says of each. A row that cannot be read is named, and costs no other row.
///
/// # Errors
/// If the model, its parameters or the file are wrong, or a row is.
pub fn run(format: Format, kind: &str, parameters: &[String], file: &Path) -> anyhow::Result<()> {
    let model = predictor(kind, parameters)?;
    let text = read(file)?;
    let rows = rows(&text)?;
    let answers: Vec<Said> =
        rows.into_iter().map(|(line, row)| (line, row.and_then(|row| Ok((row, model.say(&row)?))))).collect();
    let wrong = answers.iter().filter(|it| it.1.is_err()).count();
    match format {
        Format::Json => output::json(&answers.iter().map(as_json).collect::<Vec<_>>())?,
        Format::Table => output::show(&as_table(&answers))?,
    }
    if wrong > 0 {
        bail!("{wrong} of {} rows cannot be scored; each says why", answers.len());
    }
    Ok(())
}

fn as_json((line, answer): &Said) -> Value {
    match answer {
        Ok((row, it)) => json!({
            "line": line, "x": row.x, "t_x": row.t_x, "T": row.age, "horizon": row.horizon,
            "log_likelihood": it.ln_likelihood, "p_alive": it.p_alive, "ln_p_alive": it.ln_p_alive,
            "expected": it.expected,
        }),
        Err(error) => json!({ "line": line, "error": error }),
    }
}

fn as_table(answers: &[Said]) -> String {
    let right = Align::Right;
    let mut table = Table::new([
        ("line", right),
        ("x", right),
        ("t_x", right),
        ("T", right),
        ("horizon", right),
        ("log-likelihood", right),
        ("P(alive)", right),
        ("expected", right),
        ("", Align::Left),
    ])
    .indented(2);
    for (line, answer) in answers {
        let mut cells = vec![line.to_string()];
        match answer {
            Ok((row, it)) => {
                cells.extend([row.x, row.t_x, row.age, row.horizon].map(|it| it.to_string()));
                cells.extend([it.ln_likelihood, it.p_alive, it.expected].map(number));
            }
            Err(error) => {
                cells.extend((0..7).map(|_| String::new()));
                cells.push(error.clone());
            }
        }
        table.cells(cells);
    }
    table.to_string()
}

/// Nine digits, in powers of ten where they would not show otherwise.
fn number(it: f64) -> String {
    if it == 0.0 || (1e-4..1e9).contains(&it.abs()) { format!("{it:.9}") } else { format!("{it:.9e}") }
}

fn predictor(kind: &str, parameters: &[String]) -> anyhow::Result<Predictor> {
    let kind = ALIASES.iter().find(|it| it.0 == kind).map_or(kind, |it| it.1);
    let mut given: Vec<(&str, f64)> = Vec::new();
    for pair in parameters.iter().flat_map(|it| it.split(',')).map(str::trim).filter(|it| !it.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| anyhow!("--param {pair:?}: write NAME=VALUE, such as r=0.55,alpha=10.6"))?;
        let value: f64 =
            value.trim().parse().map_err(|_| anyhow!("--param {}: {value:?} is no number", name.trim()))?;
        if given.iter().any(|it| it.0 == name.trim()) {
            bail!("--param {} is given twice: give it once", name.trim());
        }
        given.push((name.trim(), value));
    }
    let names: &[&str] = if kind == "bg-bb" { &BgBb::PARAMETERS } else { kind.parse::<Kind>()?.parameters() };
    if names.is_empty() {
        bail!(
            "--model {kind} is made by a fit; give one of pareto-nbd, bg-nbd, mbg-nbd, bg-cnbd-K, mbg-cnbd-K, nbd, bg-bb"
        );
    }
    let listed = names.join(", ");
    if let Some((name, _)) = given.iter().find(|it| !names.contains(&it.0)) {
        bail!("--param {name}: {kind} has {listed}");
    }
    if let Some(name) = names.iter().find(|it| !given.iter().any(|(given, _)| given == *it)) {
        bail!("--param {name} is missing: {kind} has {listed}");
    }
    if kind == "bg-bb" {
        let of = |name: &str| given.iter().find(|it| it.0 == name).map_or(f64::NAN, |it| it.1);
        let [alpha, beta, gamma, delta] = BgBb::PARAMETERS.map(of);
        return Ok(Predictor::Occasions(BgBb::new(alpha, beta, gamma, delta)?));
    }
    Ok(Predictor::Times(Box::new(Model::from_params(kind.parse()?, given)?)))
}

impl Predictor {
    fn say(&self, row: &Row) -> Result<Answer, String> {
        if row.horizon.is_nan() || row.horizon < 0.0 {
            return Err(format!("horizon: must not be negative (got {})", row.horizon));
        }
        match self {
            Self::Times(model) => {
                let x = whole("x", row.x)?;
                let it = Summary::new(x, row.t_x, row.age)
                    .and_then(|it| it.with_ln_gaps(row.ln_gaps))
                    .map_err(|error| error.to_string())?;
                Ok(Answer {
                    ln_likelihood: model.ln_likelihood(&it),
                    p_alive: model.p_alive(&it),
                    ln_p_alive: model.ln_p_alive(&it),
                    expected: model.expected(&it, row.horizon),
                })
            }
            Self::Occasions(model) => {
                let (x, t_x, n) = (whole("x", row.x)?, whole("t_x", row.t_x)?, whole("T", row.age)?);
                let it = Occasions::new(x, t_x, n, 1.0).map_err(|error| error.to_string())?;
                let p_alive = model.p_alive(&it);
                Ok(Answer {
                    ln_likelihood: model.ln_likelihood(&it),
                    p_alive,
                    ln_p_alive: p_alive.ln().max(f64::MIN),
                    expected: model.expected(&it, whole("horizon", row.horizon)?),
                })
            }
        }
    }
}

fn whole(name: &str, value: f64) -> Result<u32, String> {
    if value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        return Ok(value as u32);
    }
    Err(format!("{name}: must be a whole number from 0 up (got {value})"))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The rows of a CSV file by line; columns by their names, whatever their order.
fn rows(text: &str) -> anyhow::Result<Vec<(usize, Result<Row, String>)>> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().context("the first line must name the columns: x,t_x,T,horizon")?.clone();
    let find = |names: &[&str]| head.iter().position(|it| names.contains(&it));
    let need = |names: &[&str]| {
        find(names).ok_or_else(|| {
            anyhow!("column {} is missing: the first line must name x, t_x, T and horizon", names[0])
        })
    };
    let x = need(&["x", "X", "frequency"])?;
    let t_x = need(&["t_x", "t.x", "tx", "recency"])?;
    let age = need(&["T", "age", "T.cal", "n"])?;
    let horizon = need(&["horizon", "t", "h"])?;
    let ln_gaps = find(&["ln_gaps"]);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                rows.push((rows.len() + 2, Err(error.to_string())));
                continue;
            }
        };
        let line =
            record.position().map_or(rows.len() + 2, |it| usize::try_from(it.line()).unwrap_or(usize::MAX));
        let cell = |name: &str, at: usize| -> Result<f64, String> {
            let text = record.get(at).unwrap_or_default();
            text.parse().map_err(|_| format!("{name}: {text:?} is no number"))
        };
        let row = || -> Result<Row, String> {
            Ok(Row {
                x: cell("x", x)?,
                t_x: cell("t_x", t_x)?,
                age: cell("T", age)?,
                horizon: cell("horizon", horizon)?,
                ln_gaps: ln_gaps.map_or(Ok(0.0), |at| cell("ln_gaps", at))?,
            })
        };
        rows.push((line, row()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, parameters: &str, text: &str) -> Vec<Result<(f64, f64, f64), String>> {
        let model = predictor(kind, &[parameters.to_owned()]).unwrap();
        let say = |row: Result<Row, String>| {
            row.and_then(|row| model.say(&row)).map(|it| (it.ln_likelihood, it.p_alive, it.expected))
        };
        rows(text).unwrap().into_iter().map(|it| say(it.1)).collect()
    }

    #[test]
    fn rows_are_answered_by_the_model_and_bad_ones_named() {
        let text = "horizon,x,t_x,T\n39,2,30.43,38.86\n39,2,50,38.86\n39,two,1,2\n39,1.5,1,2\n-1,0,0,2\n39,20000,52,52\n";
        let got = said("bgnbd", "r=0.2426,alpha=4.4136,a=0.7929,b=2.4259", text);
        let (ll, alive, expected) = got[0].clone().unwrap();
        assert!(
            (ll + 9.459_673_450_115_992).abs() < 1e-11 && (alive - 0.726_614_044_854_247_1).abs() < 1e-13
        );
        assert!((expected - 1.225_922_657_987_033).abs() < 1e-12);
        assert!(got[1].clone().unwrap_err().starts_with("t_x: must lie between 0 and the age"));
        assert_eq!(got[2].clone().unwrap_err(), "x: \"two\" is no number");
        assert_eq!(got[3].clone().unwrap_err(), "x: must be a whole number from 0 up (got 1.5)");
        assert!(got[4].clone().unwrap_err().starts_with("horizon: must not be negative"));
        assert!(got[5].clone().unwrap().2 > 3_000.0);
    }

    #[test]
    fn every_model_is_known_and_wrong_parameters_are_told() {
        let refused = |kind: &str, parameters: &str| {
            predictor(kind, &[parameters.to_owned()]).err().map(|it| it.to_string()).unwrap_or_default()
        };
        assert!(refused("bg-nbd", "r=1,alpha=1,a=1").contains("b is missing"));
        assert!(
            refused("bg-nbd", "r=1,alpha=1,a=1,b=1,c=1").contains("--param c: bg-nbd has r, alpha, a, b")
        );
        assert!(refused("bg-nbd", "r=1,alpha=1,a=1,b=-1").contains("b: must be positive"));
        assert!(refused("stack", "").contains("is made by a fit"));
        assert!(refused("guess", "").contains("is no model of transactions"));
        for (kind, parameters) in [
            ("pareto-nbd", "r=1,alpha=2,s=1,beta=2"),
            ("mbg-cnbd-3", "r=1,alpha=2,a=1,b=2"),
            ("nbd", "r=1,alpha=2"),
            ("bg-bb", "alpha=1.2,beta=0.75,gamma=0.66,delta=2.78"),
        ] {
            let got = said(kind, parameters, "x,t_x,T,horizon\n2,4,6,5\n");
            assert!(got[0].clone().unwrap().1 > 0.0, "{kind}");
        }
    }
}
