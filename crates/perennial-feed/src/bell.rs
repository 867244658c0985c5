//! Wake-ups within a process, and the answer to "is anything left to do?".
//!
//! Every background loop is a [`Listener`]. It works until nothing is left, then idles until one of its topics rings
//! or its next instant is due. Because ringing marks the listeners as busy before it returns, a simulated clock's
//! driver can tell exactly when the process is quiet: there is no moment at which work is known to nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Store};
use perennial_types::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::news::{Ledger, News};

/// Where other processes write to the same database, their commits may not ring here: how often to look.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// What a ring is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A feed's partition has records or has become more complete.
    Feed(Arc<str>, u16),
    /// Somebody waits for a derived feed's partition to become more complete.
    Demand(Arc<str>, u16),
    /// Anything else, by name: `campaign outbox`.
    Other(Arc<str>),
}

impl Topic {
    /// A topic by name.
    #[must_use]
    pub fn other(name: &str) -> Self {
        Self::Other(name.into())
    }
}

/// The process's bell. Clones are the same bell.
#[derive(Clone, Debug)]
pub struct Bell(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    topics: Mutex<HashMap<Topic, Vec<Arc<Slot>>>>,
    slots: Mutex<Vec<Arc<Slot>>>,
    activity: AtomicU64,
    /// What rang of each feed.
    feeds: Mutex<HashMap<Arc<str>, Ledger>>,
    /// A feed has rung.
    fed: Notify,
    /// Somebody has come to rest.
    rested: Notify,
}

#[derive(Debug)]
struct Slot {
    name: String,
    notify: Notify,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    rung: bool,
    idle: bool,
    gone: bool,
    due: Option<Timestamp>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here stays consistent between any two statements, so a poisoned lock is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    /// A bell for a process that lives by `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            topics: Mutex::default(),
            slots: Mutex::default(),
            activity: AtomicU64::new(0),
            feeds: Mutex::default(),
            fed: Notify::new(),
            rested: Notify::new(),
        }))
    }

    /// The present instant of the clock the process lives by.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Registers a background loop that wants to hear of `topics`. It counts as busy until it first idles.
    #[must_use]
    pub fn listener(&self, name: impl Into<String>, topics: impl IntoIterator<Item = Topic>) -> Listener {
        let slot = Arc::new(Slot {
            name: name.into(),
            notify: Notify::new(),
            state: Mutex::new(SlotState::default()),
        });
        lock(&self.0.slots).push(slot.clone());
        let mut by_topic = lock(&self.0.topics);
        for topic in topics {
            by_topic.entry(topic).or_default().push(slot.clone());
        }
        Listener { slot, bell: self.clone(), look: None }
    }

    /// Wakes the listeners of `topic`. They count as busy from now on.
    pub fn ring(&self, topic: &Topic) {
        self.sound(topic, true);
    }

    /// Like [`Bell::ring`], for what another process has done: those who tell others of this process's news keep quiet.
    pub fn echo(&self, topic: &Topic) {
        self.sound(topic, false);
    }

    fn sound(&self, topic: &Topic, ours: bool) {
        self.0.activity.fetch_add(1, Ordering::SeqCst);
        if let Topic::Feed(feed, partition) = topic {
            lock(&self.0.feeds).entry(feed.clone()).or_default().rang(*partition, ours);
        }
        if let Some(slots) = lock(&self.0.topics).get(topic) {
            slots.iter().for_each(|it| it.wake());
        }
        if matches!(topic, Topic::Feed(..)) {
            self.0.fed.notify_waiters();
        }
    }

    /// Wakes everybody whose instant has come; call it after moving a simulated clock.
    pub fn clock_moved(&self) {
        let now = self.0.clock.now();
        self.0.activity.fetch_add(1, Ordering::SeqCst);
        for slot in lock(&self.0.slots).iter() {
            if lock(&slot.state).due.is_some_and(|due| due <= now) {
                slot.wake();
            }
        }
    }

    /// Whether every listener is idle and nothing is due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.busy().is_none()
    }

    /// Waits until every listener is idle and nothing is due.
    pub async fn quiet(&self) {
        loop {
            let rested = self.0.rested.notified();
            tokio::pin!(rested);
            // Whoever comes to rest from here on is heard, also before the wait begins.
            rested.as_mut().enable();
            if self.is_quiet() {
                return;
            }
            rested.await;
        }
    }

    /// The name of a listener that is not idle, if there is one.
    #[must_use]
    pub fn busy(&self) -> Option<String> {
        let now = self.0.clock.now();
        lock(&self.0.slots).iter().find_map(|slot| {
            let state = lock(&slot.state);
            let quiet = state.gone || (state.idle && !state.rung && state.due.is_none_or(|due| due > now));
            (!quiet).then(|| slot.name.clone())
        })
    }

    /// A number that grows whenever something rings.
    #[must_use]
    pub fn activity(&self) -> u64 {
        self.0.activity.load(Ordering::SeqCst)
    }

    /// The count of a feed's last ring in some of its partitions: as long as that stays, reading them again tells nothing new.
    pub(crate) fn last_ring(&self, feed: &str, partitions: impl Iterator<Item = u16>) -> u64 {
        lock(&self.0.feeds).get(feed).map_or(0, |it| it.last_ring(partitions))
    }

    /// The count of a feed's rings.
    #[must_use]
    pub fn rings(&self, feed: &str) -> u64 {
        self.news(feed, 0).count
    }

    /// What has rung of a feed after a count.
    #[must_use]
    pub fn news(&self, feed: &str, after: u64) -> News {
        lock(&self.0.feeds).get(feed).map_or_else(|| Ledger::default().news(after), |it| it.news(after))
    }

    /// Like [`Bell::news`], without what was echoed.
    #[must_use]
    pub fn own_news(&self, feed: &str, after: u64) -> News {
        lock(&self.0.feeds)
            .get(feed)
            .map_or_else(|| Ledger::default().own_news(after), |it| it.own_news(after))
    }

    /// Waits until a feed has rung after a count.
    pub async fn rung(&self, feed: &str, after: u64) {
        loop {
            let fed = self.0.fed.notified();
            tokio::pin!(fed);
            // Whatever rings from here on is heard, also before the wait begins.
            fed.as_mut().enable();
            if self.rings(feed) > after {
                return;
            }
            fed.await;
        }
    }

    /// Says how much of a feed's news from another process has been echoed here; 0 before the first.
    pub(crate) fn heard(&self, feed: &Arc<str>, count: u64) {
        lock(&self.0.feeds).entry(feed.clone()).or_default().heard = Some(count);
    }

    /// How much of the news of each feed that is served elsewhere has been echoed here.
    #[must_use]
    pub fn hearsay(&self) -> Vec<(String, u64)> {
        let feeds = lock(&self.0.feeds);
        feeds.iter().filter_map(|(feed, it)| Some((feed.to_string(), it.heard?))).collect()
    }

    /// The earliest instant any listener waits for.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.0.slots).iter().filter_map(|it| lock(&it.state).due).min()
    }
}

impl Slot {
    fn wake(&self) {
        let mut state = lock(&self.state);
        state.rung = true;
        state.idle = false;
        drop(state);
        self.notify.notify_one();
    }
}

/// One background loop's ear.
#[derive(Debug)]
pub struct Listener {
    slot: Arc<Slot>,
    bell: Bell,
    look: Option<Duration>,
}

impl Listener {
    /// Looks again every now and then if other processes may write to this database: what one of them left when it
    /// died rings nowhere. With a simulated clock there is one process only.
    #[must_use]
    pub fn beside_others(mut self, store: &Store) -> Self {
        let alone = store.backend() == Backend::Sqlite || self.bell.0.clock.simulation().is_some();
        self.look = (!alone).then_some(LOOK);
        self
    }

    /// Waits until a topic rings or the clock reaches `due`, or it is time to look again. Returns at once if a topic rang
    /// since the last return, so nothing is missed while working.
    pub async fn idle(&self, due: Option<Timestamp>) {
        let look = self.look.map(|it| Instant::now() + it);
        loop {
            {
                let mut state = lock(&self.slot.state);
                let looks = look.is_some_and(|it| it <= Instant::now());
                if state.rung || looks || due.is_some_and(|due| due <= self.bell.0.clock.now()) {
                    *state = SlotState::default();
                    return;
                }
                state.idle = true;
                state.due = due;
            }
            self.bell.0.rested.notify_waiters();
            let real_wait: Option<Duration> = match (due, self.bell.0.clock.simulation()) {
                (Some(due), None) => due.duration_since(self.bell.0.clock.now()).try_into().ok(),
                _ => None,
            };
            let until_look = look.map(|it| it.saturating_duration_since(Instant::now()));
            match real_wait.into_iter().chain(until_look).min() {
                // A little longer than asked, so that the clock has surely passed the instant.
                Some(wait) => {
                    let pause = wait.min(Duration::from_secs(3_600)) + Duration::from_micros(50);
                    let _ = tokio::time::timeout(pause, self.slot.notify.notified()).await;
                }
                None => self.slot.notify.notified().await,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.slot.state).gone = true;
        lock(&self.bell.0.slots).retain(|it| !Arc::ptr_eq(it, &self.slot));
        for slots in lock(&self.bell.0.topics).values_mut() {
            slots.retain(|it| !Arc::ptr_eq(it, &self.slot));
        }
        self.bell.0.rested.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::{SimulatedClock, from_micros};

    #[tokio::test]
    async fn the_process_is_quiet_only_when_every_loop_has_heard_the_last_ring() {
        let hand = SimulatedClock::at(from_micros(0));
        let bell = Bell::new(Clock::simulated(hand.clone()));
        let topic = Topic::other("news");
        let listener = bell.listener("reader", [topic.clone()]);
        assert_eq!(bell.busy().as_deref(), Some("reader"), "busy until it first idles");

        let worked = tokio::join!(listener.idle(Some(from_micros(100))), async {
            tokio::task::yield_now().await;
            assert!(bell.is_quiet());
            bell.ring(&topic);
            assert!(!bell.is_quiet(), "busy before anybody has run");
        });
        let ((), ()) = worked;
        assert_eq!(bell.next_due(), None, "a busy loop waits for nothing");

        tokio::join!(listener.idle(Some(from_micros(100))), async {
            tokio::task::yield_now().await;
            assert_eq!(bell.next_due(), Some(from_micros(100)));
            hand.advance(from_micros(100));
            assert!(!bell.is_quiet(), "something is due");
            bell.clock_moved();
        });
    }
}
