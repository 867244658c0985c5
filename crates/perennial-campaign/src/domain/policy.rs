//! How often and when people may be contacted by marketing at all.

use jiff::Span;
use jiff::tz::TimeZone;
use perennial_types::{Channel, Currency, Purpose, Timestamp, from_micros, micros};

use super::duration::{self, DAY, HOUR};
use super::effect::Reason;
use super::quiet::QuietHours;
use super::state::Contact;

/// The contact policy of a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// All of them hold.
    pub caps: Vec<Cap>,
    /// The least time between two marketing messages to one profile, in microseconds.
    pub spacing: i64,
    /// When marketing is silent.
    pub quiet: QuietHours,
    /// The zone of profiles that have none, or one that does not exist.
    pub zone: TimeZone,
    /// The share of all profiles that marketing never contacts, 0 to 1.
    pub global_holdout: f64,
    /// The workspace's currency.
    pub currency: Currency,
    /// Profit over revenue of customers of whom nothing else is known.
    pub default_margin: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            caps: vec![Cap { count: 3, window: Window::Rolling(7 * DAY), channel: None }],
            spacing: 4 * HOUR,
            quiet: QuietHours::default(),
            zone: TimeZone::UTC,
            global_holdout: 0.0,
            currency: Currency::EUR,
            default_margin: 0.4,
        }
    }
}

/// At most so many marketing messages in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// How many.
    pub count: usize,
    /// In which time.
    pub window: Window,
    /// Only by this channel; all channels together if `None`.
    pub channel: Option<Channel>,
}

/// A window of a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so many microseconds.
    Rolling(i64),
    /// Today on the customer's calendar.
    Day,
    /// This week, from Monday.
    Week,
    /// This month.
    Month,
}

impl Cap {
    /// Reads a cap such as `3 per 7d`, `1 per calendar day` or `2 per calendar week by sms`.
    ///
    /// # Errors
    /// What is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not a cap: write 3 per 7d, or 1 per calendar day, week or month, and by email for one channel only"
            )
        };
        let (rest, channel) = match text.split_once(" by ") {
            Some((rest, word)) => (rest, Some(Channel::parse(word.trim()).ok_or_else(refused)?)),
            None => (text, None),
        };
        let (count, window) = rest.split_once(" per ").ok_or_else(refused)?;
        let count = count.trim().parse().map_err(|_| refused())?;
        let window = match window.trim() {
            "calendar day" => Window::Day,
            "calendar week" => Window::Week,
            "calendar month" => Window::Month,
            length => match duration::parse(length) {
                Ok(length) if (1..=LONGEST).contains(&length) => Window::Rolling(length),
                _ => return Err(refused()),
            },
        };
        Ok(Self { count, window, channel })
    }

    /// When a slot is free again; `None` if one is free at `now`.
    fn frees(
        &self,
        contacts: &[Contact],
        channel: Channel,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<(usize, i64)> {
        if self.channel.is_some_and(|it| it != channel) {
            return None;
        }
        let counted: Vec<i64> = contacts
            .iter()
            .filter(|it| self.channel.is_none_or(|only| only == it.channel))
            .map(|it| it.at)
            .collect();
        let (begin, end) = match self.window {
            Window::Rolling(length) => (micros(now) - length + 1, None),
            _ => {
                let (begin, end) = self.calendar(now, zone);
                (micros(begin), Some(micros(end)))
            }
        };
        let used: Vec<i64> = counted.into_iter().filter(|it| *it >= begin).collect();
        if used.len() < self.count {
            return None;
        }
        let free = match (self.window, end) {
            (Window::Rolling(length), _) if self.count > 0 => used[used.len() - self.count] + length,
            (_, Some(end)) if self.count > 0 => end,
            // A cap of none never frees.
            _ => i64::MAX,
        };
        Some((used.len(), free))
    }

    fn calendar(&self, now: Timestamp, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let today = zone.to_datetime(now).date();
        let (first, step) = match self.window {
            Window::Week => {
                let back = i64::from(today.weekday().to_monday_zero_offset());
                (today.checked_sub(Span::new().days(back)).unwrap_or(today), Span::new().days(7))
            }
            Window::Month => (today.first_of_month(), Span::new().months(1)),
            _ => (today, Span::new().days(1)),
        };
        let next = first.checked_add(step).unwrap_or(first);
        let begin = |date: jiff::civil::Date| {
            zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
                .compatible()
                .unwrap_or(Timestamp::MAX)
        };
        (begin(first), begin(next))
    }

    fn words(&self) -> String {
        let window = match self.window {
            Window::Rolling(length) => duration::format(length),
            Window::Day => "a calendar day".to_owned(),
            Window::Week => "a calendar week".to_owned(),
            Window::Month => "a calendar month".to_owned(),
        };
        let by = self.channel.map(|it| format!(" by {}", it.as_str())).unwrap_or_default();
        format!("{} in {window}{by}", self.count)
    }
}

/// How far back contacts are kept, in microseconds: no cap may look further.
pub const LONGEST: i64 = 62 * DAY;

impl Policy {
    /// The share of all profiles that a campaign of this purpose never contacts.
    #[must_use]
    pub fn global_holdout_of(&self, purpose: Purpose) -> f64 {
        if purpose == Purpose::Marketing { self.global_holdout } else { 0.0 }
    }

    /// The profile's zone, and whether its own could be used.
    #[must_use]
    pub fn zone_of(&self, name: &str) -> (TimeZone, bool) {
        if name.is_empty() {
            return (self.zone.clone(), true);
        }
        match TimeZone::get(name) {
            Ok(zone) => (zone, true),
            Err(_) => (self.zone.clone(), false),
        }
    }

    /// When a slot is free, if none is at `now`, and why.
    #[must_use]
    pub fn blocked(
        &self,
        contacts: &[Contact],
        channel: Channel,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<(i64, Reason)> {
        let mut found: Option<(i64, Reason)> = None;
        for cap in &self.caps {
            if let Some((used, free)) = cap.frees(contacts, channel, now, zone)
                && found.as_ref().is_none_or(|(latest, _)| free > *latest)
            {
                let text = match free {
                    i64::MAX => format!("cap {}: {used} used, never frees", cap.words()),
                    _ => format!(
                        "cap {}: {used} of {} used, frees {}",
                        cap.words(),
                        cap.count,
                        from_micros(free)
                    ),
                };
                found = Some((free, Reason::new("cap", text)));
            }
        }
        let last = contacts.iter().map(|it| it.at).max();
        if let Some(free) = last.map(|it| it + self.spacing)
            && free > micros(now)
            && found.as_ref().is_none_or(|(latest, _)| free > *latest)
        {
            let text = format!(
                "less than {} after the last message, frees {}",
                duration::format(self.spacing),
                from_micros(free)
            );
            found = Some((free, Reason::new("spacing", text)));
        }
        found
    }
}
