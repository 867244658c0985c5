//! The fold of the tests: it remembers the numbers it was told, sets a timer for each, and answers every one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perennial_feed::{End, Fold, FoldFault, NewRecord, Personal, Record, Turn};
use perennial_store::{Column, DatabaseTransaction, Migration, Table, insert_rows};
use perennial_types::{ProfileId, micros};
use serde::{Deserialize, Serialize};

use crate::world::main;

pub const LEDGER_MIGRATIONS: [Migration; 1] = [Migration {
    name: "ledger_0001",
    sql: "CREATE TABLE told (workspace TEXT NOT NULL, number BIGINT NOT NULL, times BIGINT NOT NULL, \
          PRIMARY KEY (workspace, number));\n\
          CREATE TABLE heard (workspace TEXT NOT NULL, profile {uuid} NOT NULL, number BIGINT NOT NULL, \
          PRIMARY KEY (workspace, profile, number));\n\
          CREATE TABLE counted (workspace TEXT NOT NULL, profile {uuid} NOT NULL, number BIGINT NOT NULL, note TEXT NOT NULL, \
          PRIMARY KEY (workspace, profile, number));",
}];

/// Who heard which number.
const HEARD: Table = Table {
    name: "heard",
    columns: &[("workspace", Column::Text), ("profile", Column::Uuid), ("number", Column::BigInt)],
};

/// The same, which has to stay for the sake of counting.
const COUNTED: Table = Table {
    name: "counted",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("number", Column::BigInt),
        ("note", Column::Text),
    ],
};

const TOLD: Table = Table {
    name: "told",
    columns: &[("workspace", Column::Text), ("number", Column::BigInt), ("times", Column::BigInt)],
};

/// A record of kind `fact`: a number, and how many microseconds after it its timer is due.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Told {
    #[prost(int64, tag = "1")]
    pub number: i64,
    #[prost(int64, tag = "2")]
    pub after: i64,
}

/// What the first reader's definitions do not ask for: multiples of this.
pub const USELESS: i64 = 7;

/// A record that cannot be applied as long as the ledger refuses it.
pub const POISON: i64 = -1;

/// A record that can never be applied.
pub const HOPELESS: i64 = -2;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Number to how often it was told.
    pub numbers: BTreeMap<i64, u32>,
    /// Numbers whose timers fired, and when.
    pub fired: BTreeMap<i64, i64>,
    /// What the other reader derived, by number.
    #[serde(default)]
    pub derived: BTreeMap<i64, u32>,
    /// The order in which things came, since the last merge.
    #[serde(default)]
    pub seen: Vec<String>,
}

pub struct Ledger {
    /// Whether it passes on what it is told.
    pub derives: bool,
    /// How long it waits for the other.
    pub patience: Option<Duration>,
}

pub static REFUSES: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

#[async_trait]
impl Fold for Ledger {
    type State = State;
    type Row = (ProfileId, i64);
    /// The definitions say that multiples of this are of no use to the first reader.
    type Book = i64;

    async fn book(&self, _tx: &DatabaseTransaction) -> Result<Arc<i64>, FoldFault> {
        Ok(Arc::new(USELESS))
    }

    fn matters(&self, useless: &i64, record: &Record) -> bool {
        let told: Result<Told, _> = prost::Message::decode(record.payload.as_ref());
        !self.derives || told.is_ok_and(|it| it.number % useless != 0)
    }

    fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// The second reader has no use for every fifth number: it passes over them.
    fn concerns(&self, record: &Record) -> bool {
        let told: Result<Told, _> = prost::Message::decode(record.payload.as_ref());
        self.derives || told.is_ok_and(|it| it.number % 5 != 0)
    }

    fn apply(
        &self,
        _: &i64,
        turn: &mut Turn<(ProfileId, i64)>,
        state: &mut State,
        record: &Record,
    ) -> Result<(), FoldFault> {
        let told: Told = prost::Message::decode(record.payload.as_ref()).map_err(FoldFault::poison)?;
        if told.number == HOPELESS {
            return Err(FoldFault::poison("a number that can never be"));
        }
        if told.number == POISON && REFUSES.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(FoldFault::poison("a number that cannot be"));
        }
        if turn.source() == "first" {
            *state.derived.entry(told.number).or_default() += 1;
            state.seen.push(format!("derived {}", told.number));
            return Ok(());
        }
        *state.numbers.entry(told.number).or_default() += 1;
        let stale = if turn.stale() { ", stale" } else { "" };
        state.seen.push(format!("told {}{stale}", told.number));
        let due = micros(turn.at()) + told.after;
        turn.set_timer(told.number.to_string(), perennial_types::from_micros(due));
        turn.row((turn.profile(), told.number));
        if self.derives {
            turn.append("fact", &told);
        }
        Ok(())
    }

    fn fire(
        &self,
        _: &i64,
        turn: &mut Turn<(ProfileId, i64)>,
        state: &mut State,
        timer: &str,
    ) -> Result<(), FoldFault> {
        let number: i64 = timer.parse().map_err(FoldFault::poison)?;
        state.fired.insert(number, micros(turn.at()));
        let stale = if turn.stale() { ", stale" } else { "" };
        state.seen.push(format!("fired {number}{stale}"));
        if self.derives {
            turn.append("fact", &Told { number: number + 1_000_000, after: 0 });
        }
        Ok(())
    }

    fn merge(
        &self,
        _: &i64,
        _: &mut Turn<(ProfileId, i64)>,
        into: &mut State,
        from: State,
    ) -> Result<(), FoldFault> {
        for (number, times) in from.numbers {
            *into.numbers.entry(number).or_default() += times;
        }
        for (number, times) in from.derived {
            *into.derived.entry(number).or_default() += times;
        }
        into.fired.extend(from.fired);
        into.seen.clear();
        Ok(())
    }

    fn refolded(
        &self,
        _: &i64,
        _: &mut Turn<(ProfileId, i64)>,
        old: &State,
        fresh: &mut State,
    ) -> Result<(), FoldFault> {
        fresh.derived.clone_from(&old.derived);
        fresh.seen.clone_from(&old.seen);
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        const COUNTS: End = End::Unlink { lose: "note = ''", kept: "the number, for counting" };
        &[Personal { table: &HEARD, end: End::Delete }, Personal { table: &COUNTED, end: COUNTS }]
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<(ProfileId, i64)>) -> Result<(), FoldFault> {
        let again = "ON CONFLICT (workspace, profile, number) DO NOTHING";
        let heard =
            |(profile, number): &(ProfileId, i64)| vec!["main".into(), profile.0.into(), (*number).into()];
        insert_rows(tx, &HEARD, rows.iter().map(heard).collect(), again).await?;
        let counted = |it: &(ProfileId, i64)| {
            let mut row = heard(it);
            row.push(format!("a note on {}", it.0).into());
            row
        };
        insert_rows(tx, &COUNTED, rows.iter().map(counted).collect(), again).await?;
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, number) in rows {
            *counts.entry(number).or_default() += 1;
        }
        let rows = counts.into_iter().map(|(number, times)| vec!["main".into(), number.into(), times.into()]);
        let add = "ON CONFLICT (workspace, number) DO UPDATE SET times = told.times + excluded.times";
        insert_rows(tx, &TOLD, rows.collect(), add).await?;
        Ok(())
    }
}

/// A fact that tells `number`, whose timer is due `after` microseconds later.
pub fn told(profile: ProfileId, number: i64, after: i64) -> NewRecord {
    let payload = prost::Message::encode_to_vec(&Told { number, after }).into();
    NewRecord { workspace: main(), profile, kind: "fact", historical: false, correction: false, payload }
}
