//! Who the customers are, and what nobody but the simulator knows about them.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use perennial_types::Timestamp;

use super::chance::Chance;

const FIRST: [&str; 40] = [
    "Ana", "Ben", "Carla", "David", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Katja", "Lukas",
    "Marta", "Nils", "Olga", "Paul", "Rosa", "Samuel", "Tess", "Ulla", "Victor", "Wanda", "Yann", "Zoe",
    "Amelie", "Bruno", "Clara", "Dario", "Emma", "Finn", "Hanna", "Ida", "Jakob", "Lea", "Mila", "Noah",
    "Oskar", "Pia", "Theo", "Vera",
];
const LAST: [&str; 32] = [
    "Torres", "Keller", "Moreau", "Novak", "Larsen", "Rossi", "Weber", "Dubois", "Silva", "Jansen", "Berg",
    "Fischer", "Costa", "Lind", "Marin", "Petit", "Wolf", "Serra", "Horn", "Blanc", "Vega", "Maier", "Nagy",
    "Olsen", "Prins", "Roth", "Sato", "Ames", "Clarke", "Doyle", "Engel", "Frank",
];
const ZONES: [(&str, f64); 7] = [
    ("Europe/Berlin", 0.34),
    ("Europe/Madrid", 0.16),
    ("Europe/Paris", 0.15),
    ("Europe/London", 0.13),
    ("Europe/Helsinki", 0.06),
    ("America/New_York", 0.12),
    ("Asia/Tokyo", 0.04),
];

/// How likely each local hour of the day is for a visit.
const HOURS: [f64; 24] = [
    0.3, 0.1, 0.05, 0.05, 0.05, 0.2, 0.8, 1.8, 2.6, 3.2, 3.6, 3.8, 4.0, 3.8, 3.4, 3.2, 3.4, 4.0, 4.8, 5.6,
    6.2, 5.6, 3.2, 1.2,
];

/// One customer: what the shop sees of them, and below it the truth.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Their number, from 0.
    pub number: u32,
    /// First name.
    pub first_name: &'static str,
    /// Last name.
    pub last_name: &'static str,
    /// IANA name of their zone.
    pub zone_name: &'static str,
    /// Days from the start to their first visit.
    pub arrival: f64,
    /// They looked around before they said who they are.
    pub anonymous_first: bool,
    /// They agreed to marketing e-mail.
    pub consent: bool,

    /// Days from arrival to the first order; infinite for those who only ever look.
    pub to_first_order: f64,
    /// Orders a year while they are with the shop.
    pub orders_a_year: f64,
    /// Probability of leaving for good after an order.
    pub dropout: f64,
    /// What an order of theirs is worth on average, in cents.
    pub worth: f64,
    /// How much a message moves them: 1 on average, mostly less, sometimes far more.
    pub persuadability: f64,
    /// Visits a year that end without an order.
    pub visits_a_year: f64,
}

impl Customer {
    /// Draws customer `number` of a shop that is watched for `days` days.
    #[must_use]
    pub fn draw(seed: u64, number: u32, days: f64) -> Self {
        let mut chance = Chance::new(seed, u64::from(number) * 4);
        let first_name = FIRST[chance.below(FIRST.len())];
        let last_name = LAST[chance.below(LAST.len())];
        let zone_name = *chance.weighted(&ZONES);
        // A third comes in the first weeks, the others all along.
        let arrival =
            if chance.happens(0.34) { chance.unit() * days * 0.12 } else { chance.unit() * days * 0.94 };
        let to_first_order = match chance.unit() {
            it if it < 0.22 => chance.exponential(0.4),
            it if it < 0.74 => chance.exponential(75.0),
            _ => f64::INFINITY,
        };
        Self {
            number,
            first_name,
            last_name,
            zone_name,
            arrival,
            anonymous_first: chance.happens(0.3),
            consent: chance.happens(0.95),
            to_first_order,
            orders_a_year: chance.gamma(1.3, 4.4),
            dropout: chance.beta(1.1, 3.4),
            worth: 5_200.0 * (0.55 * chance.normal()).exp(),
            persuadability: chance.beta(1.2, 3.6) / 0.25,
            visits_a_year: 2.0 + chance.gamma(1.0, 5.0),
        }
    }

    /// The shop's id of the customer.
    #[must_use]
    pub fn id(&self) -> String {
        format!("c{:05}", self.number)
    }

    /// Where to write to.
    #[must_use]
    pub fn email(&self) -> String {
        let (first, last) = (self.first_name.to_lowercase(), self.last_name.to_lowercase());
        format!("{first}.{last}.{}@example.com", self.number)
    }

    /// The number of the customer behind an address made by [`Customer::email`].
    #[must_use]
    pub fn of_email(email: &str) -> Option<u32> {
        email.trim().strip_suffix("@example.com")?.rsplit('.').next()?.parse().ok()
    }
}

/// Turns days since the start into instants at believable hours of the customer's own day.
pub struct Calendar {
    start: Timestamp,
    zone: TimeZone,
    hours: Vec<(i8, f64)>,
}

impl Calendar {
    /// A calendar for a customer's zone; an unknown zone is UTC.
    #[must_use]
    pub fn new(start: Timestamp, zone: &str) -> Self {
        let hours = (0_i8..).zip(HOURS).collect();
        Self { start, zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), hours }
    }

    /// An instant on the day that lies `days` after the start, by the customer's calendar; never before the start.
    pub fn instant(&self, chance: &mut Chance, days: f64) -> Timestamp {
        let hour = *chance.weighted(&self.hours);
        let (minute, second) = (chance.below(60), chance.below(60));
        let micros = chance.between(0, 999_999);
        let narrow = |it: usize| i8::try_from(it).unwrap_or_default();
        let time = Time::constant(hour, narrow(minute), narrow(second), 0);
        let day = plus(self.start, days.floor()).to_zoned(self.zone.clone()).date();
        let local = DateTime::from_parts(day, time);
        let at = self.zone.to_ambiguous_timestamp(local).compatible().unwrap_or(self.start);
        let at = plus_micros(at, micros);
        if at > self.start { at } else { plus(at, 1.0) }
    }
}

/// An instant so many days later.
#[must_use]
pub fn plus(at: Timestamp, days: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "days of a simulation are few; the cast saturates")]
    let micros = (days * 86_400e6).clamp(-9e17, 9e17) as i64;
    plus_micros(at, micros)
}

fn plus_micros(at: Timestamp, micros: i64) -> Timestamp {
    perennial_types::from_micros(perennial_types::micros(at).saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_back_to_its_customer() {
        for number in [0, 7, 19_999] {
            let customer = Customer::draw(3, number, 365.0);
            assert_eq!(Customer::of_email(&customer.email()), Some(number));
        }
        assert_eq!(Customer::of_email("ana@elsewhere.org"), None);
    }

    #[test]
    fn visits_fall_into_the_day_of_the_visitor() {
        let start: Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
        let calendar = Calendar::new(start, "Asia/Tokyo");
        let mut chance = Chance::new(1, 1);
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let nights = (0..1_000)
            .map(|n| calendar.instant(&mut chance, f64::from(n % 300)).to_zoned(zone.clone()).hour())
            .filter(|it| (1..6).contains(it))
            .count();
        assert!(nights < 30, "{nights}");
    }
}
