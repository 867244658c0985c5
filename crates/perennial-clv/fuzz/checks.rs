//! What must hold for any bytes: shared by the fuzz targets and by the test that replays their corpora.

use perennial_clv::{Given, History, Kind, Model, Rows, Stack, Summary, fit};

const KINDS: [Kind; 7] = [
    Kind::ParetoNbd,
    Kind::BgNbd,
    Kind::MbgNbd,
    Kind::BgCnbd(2),
    Kind::MbgCnbd(3),
    Kind::MbgCnbd(12),
    Kind::Nbd,
];

/// Numbers from bytes; nothing once they are used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    fn small(&mut self) -> Option<u32> {
        Some(u32::from(self.byte()?) | u32::from(self.byte()?) << 8)
    }

    /// Between e⁻¹⁵ and e¹⁵.
    fn positive(&mut self) -> Option<f64> {
        Some(((f64::from(self.small()?) / 65_535.0 - 0.5) * 30.0).exp())
    }

    fn model(&mut self) -> Option<Model> {
        let kind = KINDS[usize::from(self.byte()?) % KINDS.len()];
        let mut values = Vec::new();
        for name in kind.parameters() {
            values.push((*name, self.positive()?));
        }
        Some(Model::from_params(kind, values).expect("positive parameters are a model"))
    }
}

/// Any model, any customer, any horizon: every answer is a number in its range, and raw numbers that are no customer or no
/// parameter are refused.
pub fn models(bytes: &[u8]) {
    let mut source = Source(bytes);
    let _ = raw(&mut Source(bytes));
    let Some(first) = source.model() else { return };
    let model = match source.model() {
        Some(second) if bytes[0] & 0x80 != 0 => {
            Model::Stack(Stack::new(&[(0.3, first), (0.7, second)]).expect("two models are a stack"))
        }
        _ => first,
    };
    let (Some(x), Some(age), Some(share), Some(horizon)) =
        (source.small(), source.positive(), source.byte(), source.positive())
    else {
        return;
    };
    let t_x = if x == 0 { 0.0 } else { age * f64::from(share) / 255.0 };
    let it = Summary::new(x, t_x, age).expect("in order");
    let alive = model.p_alive(&it);
    assert!((0.0..=1.0).contains(&alive), "{model:?} {it:?}: P(alive) {alive}");
    assert!(model.ln_likelihood(&it).is_finite(), "{model:?} {it:?}");
    let expected = model.expected(&it, horizon);
    assert!(expected.is_finite() && expected >= 0.0, "{model:?} {it:?}: {expected}");
    let within = model.order_within(&it, horizon, Given::History);
    assert!((-1e-9..=1.0 + 1e-9).contains(&within), "{model:?} {it:?}: {within}");
    if let Some(quantile) = model.next_order_quantile(&it, 0.8, Given::Alive) {
        assert!(quantile.is_finite() && quantile >= 0.0, "{model:?} {it:?}: {quantile}");
    }
    if let Some(silence) = model.lapse_after(&it, 0.2) {
        assert!(silence.is_finite() && silence >= 0.0, "{model:?} {it:?}: {silence}");
    }
}

/// Raw numbers, not-numbers and infinities among them.
fn raw(source: &mut Source<'_>) -> Option<()> {
    let x = source.small()?;
    let (t_x, age, r, horizon) = (source.number()?, source.number()?, source.number()?, source.number()?);
    let model = Model::from_params(Kind::Nbd, [("r", r), ("alpha", age)]).ok()?;
    let it = Summary::new(x, t_x, age).ok()?;
    assert!(model.expected(&it, horizon) >= 0.0, "{model:?} {it:?} {horizon}");
    Some(())
}

/// Any customers: a fit is an optimum, an honest boundary, not converged, or refused; never a panic or a number that is
/// none.
pub fn fits(bytes: &[u8]) {
    let mut source = Source(bytes);
    let Some(kind) = source.byte() else { return };
    let mut customers = Vec::new();
    while let (Some(x), Some(last), Some(age)) = (source.byte(), source.byte(), source.byte()) {
        let (age, last) = (f64::from(age), f64::from(last.min(age)));
        // High counts are rare and what breaks searches.
        let x = if x > 250 { 5_000 } else { u32::from(x % 16) };
        let it = Summary::new(x, if x == 0 { 0.0 } else { last }, age).expect("in order");
        customers.push(it);
        if customers.len() == 200 {
            break;
        }
    }
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    if let Ok(found) = fit(kind, &Rows::new(customers.iter().copied())) {
        assert!(found.report.ln_likelihood.is_finite(), "{found:?}");
        assert!(found.model.params().iter().all(|it| it.1.is_finite() && it.1 > 0.0), "{found:?}");
        for it in customers.iter().take(5) {
            assert!(found.model.expected(it, 52.0).is_finite(), "{found:?} {it:?}");
        }
    }
}

/// Orders added and taken back in any order, and a merge: what a recomputation of the same orders gives.
pub fn histories(bytes: &[u8]) {
    let mut source = Source(bytes);
    let (mut one, mut other) = (History::new(), History::new());
    let mut orders: Vec<(i32, i64)> = Vec::new();
    while let (Some(what), Some(day), Some(value)) = (source.byte(), source.byte(), source.byte()) {
        let (day, value) = (i32::from(day), i64::from(value));
        let known = orders.iter().position(|it| *it == (day, value));
        match (what % 4, known) {
            (0, Some(at)) => {
                // It lies in one of the two.
                orders.swap_remove(at);
                let mut whole = one.clone();
                whole.merge(&other);
                assert!(whole.remove(day, value));
                (one, other) = (whole, History::new());
            }
            (1, _) => {
                orders.push((day, value));
                other.add(day, value);
            }
            _ => {
                orders.push((day, value));
                one.add(day, value);
            }
        }
    }
    one.merge(&other);
    let mut straight = History::new();
    orders.sort_unstable();
    for (day, value) in &orders {
        straight.add(*day, *value);
    }
    assert_eq!(one, straight);
    assert_eq!(one.summary(200, 7.0), straight.summary(200, 7.0));
}
