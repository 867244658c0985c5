//! Small stories of a few people: what they do, how it is told, when that arrives, and who is taken for whom by mistake.
//!
//! In no story is what depends on arrival by a rule that ingestion's README tells ("In any order"):
//! - two accounts that are taken for one, or more devices than one person may have: limits are judged as events come;
//! - mistakes about people of whom one is not known yet: they begin with who everybody is, in any order;
//! - somebody taken for another, and meanwhile shown to be a third: whoever survived that stays one with the third until that,
//!   too, is undone (ADR 13). So who is in a mistake always names something that they were introduced by;
//! - the same message again after more than a week, and more than 24 events about carts;
//! - consent by country: what makes it is decided by where the person was known to live;
//! - coupons used by somebody who is not known yet to be whom they are for.

use std::collections::BTreeMap;

use perennial_types::{Timestamp, from_micros, micros};
use proptest::prelude::*;
use serde_json::{Value, json};

pub const START: &str = "2026-03-02T09:00:00Z";
const DAY: i64 = 86_400_000_000;
/// Days in which something happens.
const DAYS: i32 = 14;
/// The most days between what happened and its arrival.
const LATEST: u8 = 14;
/// The most days between a mistake and its undoing.
const PATIENCE: u8 = 6;
/// The most days after which the same message comes again: repetitions are known for a week at least.
const AGAIN: u8 = 6;
/// By then everything has happened, arrived and been undone.
pub const OVER: i32 = DAYS + LATEST as i32 + if PATIENCE > AGAIN { PATIENCE as i32 } else { AGAIN as i32 };

/// Something that somebody does.
#[derive(Clone, Debug)]
pub struct Deed {
    pub who: usize,
    /// By which of what recognises them the event is sent: one or two.
    pub by: (usize, usize),
    pub what: What,
    pub day: i32,
    /// Of the day; several things happen at one instant.
    pub hour: u8,
    /// Days until it arrives, where that is in no order.
    pub late: u8,
    /// Days until it arrives once more, if it does.
    pub again: Option<u8>,
    /// Its place among what arrives on a day.
    pub place: u16,
}

#[derive(Clone, Debug)]
pub enum What {
    Looks { zone: u8, banner: Option<bool> },
    Tells { plan: u8, drops: bool, lives: u8, agrees: Option<bool> },
    Views(u8),
    Adds(u8, u8),
    Removes(u8, Option<u8>),
    ShowsCart(u8, u8),
    ChecksOut,
    Orders { order: u8, price: u8, coupon: bool },
    Refunds { order: u8, cents: Option<u16> },
    Cancels(u8),
    Agrees { channel: bool, granted: bool, confirmed: bool },
    Leaves,
    Joins(u8),
}

/// An event that is of two people: somebody borrows a device, an agent types the wrong address.
#[derive(Clone, Debug)]
pub struct Mistake {
    pub between: (usize, usize),
    /// What of each is in the event.
    pub by: (usize, usize),
    pub day: i32,
    pub late: u8,
    pub place: u16,
    /// Days until it is undone: where all comes as it happens, and where it comes in no order.
    pub undone: (u8, u8),
}

#[derive(Clone, Debug)]
pub struct Story {
    /// Whether each of them has an account.
    customers: Vec<bool>,
    /// Whether each of them has a second device.
    tablets: Vec<bool>,
    pub deeds: Vec<Deed>,
    pub mistakes: Vec<Mistake>,
}

fn what() -> impl Strategy<Value = What> {
    let cents = prop_oneof![Just(None), (1_u16..1_500).prop_map(Some)];
    let opinion = || prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)];
    prop_oneof![
        4 => (0..3_u8, opinion()).prop_map(|(zone, banner)| What::Looks { zone, banner }),
        4 => (0..4_u8, any::<bool>(), 0..3_u8, opinion())
            .prop_map(|(plan, drops, lives, agrees)| What::Tells { plan, drops, lives, agrees }),
        2 => (0..3_u8).prop_map(What::Views),
        3 => (0..3_u8, 1..3_u8).prop_map(|(product, units)| What::Adds(product, units)),
        1 => (0..3_u8, prop_oneof![Just(None), Just(Some(1))])
            .prop_map(|(product, units)| What::Removes(product, units)),
        1 => (0..3_u8, 1..3_u8).prop_map(|(product, units)| What::ShowsCart(product, units)),
        1 => Just(What::ChecksOut),
        5 => (0..3_u8, 0..3_u8, any::<bool>())
            .prop_map(|(order, price, coupon)| What::Orders { order, price, coupon }),
        2 => (0..3_u8, cents).prop_map(|(order, cents)| What::Refunds { order, cents }),
        1 => (0..3_u8).prop_map(What::Cancels),
        3 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(channel, granted, confirmed)| What::Agrees { channel, granted, confirmed }),
        1 => Just(What::Leaves),
        2 => (0..2_u8).prop_map(What::Joins),
    ]
}

fn late() -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(0), 3 => 0..=LATEST]
}

fn deed() -> impl Strategy<Value = Deed> {
    let day = prop_oneof![8 => 0..DAYS, 1 => -30..0, 1 => -500..-30];
    let again = prop_oneof![3 => Just(None), 1 => (0..=AGAIN).prop_map(Some)];
    let when = (day, 0..3_u8, late(), again, any::<u16>());
    (0..5_usize, (0..5_usize, 0..5_usize), what(), when).prop_map(
        |(who, by, what, (day, hour, late, again, place))| Deed {
            who,
            by,
            what,
            day,
            hour,
            late,
            again,
            place,
        },
    )
}

fn mistake() -> impl Strategy<Value = Mistake> {
    let undone = (0..=PATIENCE, 0..=PATIENCE);
    ((0..5_usize, 0..5_usize), (0..3_usize, 0..3_usize), 1..DAYS, late(), any::<u16>(), undone)
        .prop_map(|(between, by, day, late, place, undone)| Mistake { between, by, day, late, place, undone })
}

pub fn story() -> impl Strategy<Value = Story> {
    let customers = prop::collection::vec(any::<bool>(), 2..=5);
    let deeds = prop::collection::vec(deed(), 1..24);
    let mistakes = prop::collection::vec(mistake(), 0..4);
    (customers, deeds, mistakes)
        .prop_map(|(customers, deeds, mistakes)| Story::new(customers, deeds, mistakes))
}

/// How a person is recognised: field, kind and value.
pub type Known = (&'static str, String);

/// Which of the tellings of a story it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Telling {
    /// As it happened, each thing once, mistakes undone.
    Sorted,
    /// In no order, some of it twice, in batches of any size, mistakes undone at another time.
    Shuffled,
    /// As it happened, without the mistakes.
    Faultless,
}

/// What is done on a day.
#[derive(Clone, Debug)]
pub enum Act {
    /// A batch arrives.
    Arrives(Vec<Value>),
    /// The merge that the event of this name showed is undone.
    Undoes(String),
}

impl Story {
    /// A story of so many people, of whom some have an account.
    pub fn new(customers: Vec<bool>, deeds: Vec<Deed>, mistakes: Vec<Mistake>) -> Self {
        let mut story = Self { tablets: vec![false; customers.len()], customers, deeds, mistakes };
        story.settle();
        story
    }

    /// Leaves only what the rules of identity cannot make depend on the order of arrival.
    fn settle(&mut self) {
        let people = self.customers.len();
        self.deeds.iter_mut().for_each(|it| it.who %= people);
        self.mistakes.iter_mut().for_each(|it| it.between = (it.between.0 % people, it.between.1 % people));
        self.mistakes.retain(|it| it.between.0 != it.between.1);
        // One customer has one user id: of people who are taken for one only one has an account, else the event that comes
        // second does not count.
        let mut group: Vec<usize> = (0..people).collect();
        for it in &self.mistakes {
            let (one, other) = (group[it.between.0], group[it.between.1]);
            group.iter_mut().filter(|it| **it == other).for_each(|it| *it = one);
        }
        for who in 0..people {
            let is_second = (0..who).any(|it| group[it] == group[who] && self.customers[it]);
            self.customers[who] &= !is_second;
            // A profile has at most five devices.
            self.tablets[who] = people < 5 && group.iter().filter(|it| **it == group[who]).count() <= 2;
        }
    }

    pub fn people(&self) -> usize {
        self.customers.len()
    }

    /// What recognises somebody; the first three are introduced together, before any mistake.
    pub fn known(&self, who: usize) -> Vec<Known> {
        let mut known = Vec::new();
        if self.customers[who] {
            known.push(("user_id", format!("user-{who}")));
        }
        known.push(("email", format!("p{who}@example.com")));
        known.push(("anonymous_id", format!("device-{who}")));
        known.push(("phone", format!("+4930123450{who}")));
        if self.tablets[who] {
            known.push(("anonymous_id", format!("tablet-{who}")));
        }
        known
    }

    fn introduced(&self, who: usize) -> Vec<Known> {
        self.known(who).into_iter().take_while(|it| it.0 != "phone").collect()
    }

    /// How somebody is first heard of.
    pub fn hello(&self, who: usize) -> Value {
        let mut event = json!({
            "type": "identify", "messageId": format!("hello-{who}"), "timestamp": time(-600, 0),
            "traits": { "email": format!("p{who}@example.com"), "plan": "none" },
        });
        name(&mut event, &self.introduced(who));
        event
    }

    fn deed(&self, n: usize, coupons: &[String]) -> Value {
        let it = &self.deeds[n];
        let known = self.known(it.who);
        let mut by = vec![known[it.by.0 % known.len()].clone(), known[it.by.1 % known.len()].clone()];
        by.dedup();
        let (introduced, is_in) = (self.introduced(it.who), |mistake: &Mistake| {
            mistake.between.0 == it.who || mistake.between.1 == it.who
        });
        if self.mistakes.iter().any(is_in) && !by.iter().any(|it| introduced.contains(it)) {
            by[0] = introduced[it.by.0 % introduced.len()].clone();
        }
        let own = |order: u8| format!("order-{}-{order}", it.who);
        let product = |product: u8, units: u8| json!({ "product_id": format!("p{product}"), "price": 5 + product, "quantity": units });
        let channel = |is_text: bool| if is_text { "sms" } else { "email" };
        let mut event = json!({ "messageId": format!("deed-{n}"), "timestamp": time(it.day, it.hour) });
        let (kind, name_of, said) = match &it.what {
            What::Looks { zone, banner } => {
                let zone = usize::from(*zone);
                event["context"] = json!({ "timezone": (["Europe/Berlin", "Asia/Tokyo", "America/Lima"][zone]),
                    "locale": (["de-DE", "ja-JP", "es-PE"][zone]) });
                if let Some(banner) = banner {
                    event["context"]["consent"] = json!({ "categoryPreferences": { "email": banner } });
                }
                ("page", "", json!({ "path": "/" }))
            }
            What::Tells { plan, drops, lives, agrees } => {
                let lives = usize::from(*lives);
                let mut said =
                    json!({ "plan": (["none", "club", "gold", "trial"][usize::from(*plan)]), "seen": n });
                if *drops {
                    said["plan"] = Value::Null;
                }
                if lives > 0 {
                    said["timezone"] = ["Europe/Madrid", "Europe/Paris"][lives - 1].into();
                    said["country"] = ["ES", "FR"][lives - 1].into();
                }
                if let Some(agrees) = agrees {
                    said["consent"] = json!({ "email": agrees });
                }
                ("identify", "", said)
            }
            What::Views(it) => ("track", "Product Viewed", product(*it, 1)),
            What::Adds(it, units) => ("track", "Product Added", product(*it, *units)),
            What::Removes(it, units) => {
                let mut said = json!({ "product_id": format!("p{it}") });
                if let Some(units) = units {
                    said["quantity"] = (*units).into();
                }
                ("track", "Product Removed", said)
            }
            What::ShowsCart(it, units) => {
                ("track", "Cart Viewed", json!({ "products": [product(*it, *units)] }))
            }
            What::ChecksOut => ("track", "Checkout Started", json!({})),
            What::Orders { order, price, coupon } => {
                let price = 10 + 7 * u32::from(*price);
                let line = json!({ "product_id": format!("p{order}"), "price": price, "quantity": 1 });
                let mut said = json!({ "order_id": own(*order), "revenue": price, "currency": "EUR", "products": [line] });
                if let (true, 0, Some(code)) = (*coupon, *order, coupons.get(it.who)) {
                    // Whether a coupon is used by whom it is for is judged by who they are known to be when that is heard.
                    by = vec![known[0].clone()];
                    said["coupon"] = code.clone().into();
                    said["discount"] = 2.into();
                }
                ("track", "Order Completed", said)
            }
            What::Refunds { order, cents } => {
                let mut said = json!({ "order_id": own(*order), "currency": "EUR" });
                if let Some(cents) = cents {
                    said["total"] = (f64::from(*cents) / 100.0).into();
                }
                ("track", "Order Refunded", said)
            }
            What::Cancels(order) => ("track", "Order Cancelled", json!({ "order_id": own(*order) })),
            What::Agrees { channel: it, granted, confirmed } => {
                let mut said =
                    json!({ "channel": channel(*it), "granted": granted, "proof": format!("form {n}") });
                if *confirmed {
                    said["confirmed"] = (*granted).into();
                }
                ("track", "Consent Changed", said)
            }
            What::Leaves => ("track", "Email Unsubscribed", json!({})),
            What::Joins(device) => {
                let devices: Vec<Known> = known.iter().filter(|it| it.0 == "anonymous_id").cloned().collect();
                let device = devices[usize::from(*device) % devices.len()].1.clone();
                if self.customers[it.who] {
                    event["type"] = "alias".into();
                    event["previousId"] = device.into();
                    by = vec![known[0].clone()];
                    ("alias", "", json!({}))
                } else {
                    by = vec![known[0].clone(), ("anonymous_id", device)];
                    ("page", "", json!({}))
                }
            }
        };
        event["type"] = kind.into();
        if kind == "identify" {
            event["traits"] = said;
        } else {
            event["properties"] = said;
        }
        if kind == "track" {
            event["event"] = name_of.into();
        }
        name(&mut event, &by);
        event
    }

    fn mistake(&self, n: usize, is_made: bool) -> Value {
        let it = &self.mistakes[n];
        let (one, other) = (self.introduced(it.between.0), self.introduced(it.between.1));
        let mut by = vec![one[it.by.0 % one.len()].clone(), other[it.by.1 % other.len()].clone()];
        if !is_made {
            // It counts for the one whom the stronger of both recognises.
            let rank = |it: &Known| {
                ["user_id", "email", "phone", "anonymous_id"].iter().position(|kind| *kind == it.0)
            };
            by.sort_by_key(|it| (rank(it), it.1.clone()));
            by.truncate(1);
        }
        let mut event = json!({
            "type": "track", "event": mistake_name(n), "messageId": format!("mistake-{n}"),
            "timestamp": time(it.day, 0),
        });
        name(&mut event, &by);
        event
    }

    /// What is done on which day; `coupons` has the code of each person's coupon.
    pub fn told(&self, telling: Telling, coupons: &[String]) -> BTreeMap<i32, Vec<Act>> {
        /// On its day: when it happened, or where it stands among what arrived.
        type Arrival = (i32, (i32, i32), Value);
        let mut arrivals: Vec<Arrival> = Vec::new();
        for (n, it) in self.deeds.iter().enumerate() {
            let event = self.deed(n, coupons);
            if telling != Telling::Shuffled {
                arrivals.push((it.day.max(0), (it.day, -i32::from(it.hour)), event));
                continue;
            }
            let day = it.day.max(0) + i32::from(it.late);
            if let Some(again) = it.again {
                arrivals.push((day + i32::from(again), (i32::from(it.place / 7), 0), event.clone()));
            }
            arrivals.push((day, (i32::from(it.place), 0), event));
        }
        let mut undone: BTreeMap<i32, Vec<Act>> = BTreeMap::new();
        for (n, it) in self.mistakes.iter().enumerate() {
            let event = self.mistake(n, telling != Telling::Faultless);
            let (day, place, patience) = match telling {
                Telling::Shuffled => (it.day + i32::from(it.late), (i32::from(it.place), 0), it.undone.1),
                _ => (it.day, (it.day, 0), it.undone.0),
            };
            arrivals.push((day, place, event));
            if telling != Telling::Faultless {
                undone.entry(day + i32::from(patience)).or_default().push(Act::Undoes(mistake_name(n)));
            }
        }
        arrivals.sort_by_key(|it| (it.0, it.1));
        let mut acts: BTreeMap<i32, Vec<Act>> = BTreeMap::new();
        for (day, place, event) in arrivals {
            let acts = acts.entry(day).or_default();
            match acts.last_mut() {
                // Where it comes in no order, batches end anywhere.
                Some(Act::Arrives(batch)) if telling != Telling::Shuffled || place.0 % 3 > 0 => {
                    batch.push(event)
                }
                _ => acts.push(Act::Arrives(vec![event])),
            }
        }
        for (day, undone) in undone {
            acts.entry(day).or_default().extend(undone);
        }
        acts
    }
}

fn mistake_name(n: usize) -> String {
    format!("Mistake {n}")
}

/// Some hours before the world's clock of that day.
fn time(day: i32, hour: u8) -> String {
    at(day, -i64::from(hour) * DAY / 8).to_string()
}

/// The world's clock on a day.
pub fn noon(day: i32) -> Timestamp {
    at(day, 0)
}

fn at(day: i32, more: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    from_micros(micros(start) + i64::from(day) * DAY + more)
}

/// Says in an event whose it is, each identifier where its kind is expected.
fn name(event: &mut Value, by: &[Known]) {
    let mut others = Vec::new();
    for (kind, value) in by {
        match *kind {
            "user_id" => event["userId"] = value.as_str().into(),
            "anonymous_id" if event.get("anonymousId").is_none() => {
                event["anonymousId"] = value.as_str().into()
            }
            kind => others.push(json!({ "type": kind, "id": value })),
        }
    }
    if !others.is_empty() {
        event["context"]["externalIds"] = others.into();
    }
}
