//! Wake-ups within a process, and the answer to "is anything left to do?".
//!
//! Every background loop is a [`Listener`]. It works until nothing is left, then idles until one of its topics rings
//! or its next instant is due. Because ringing marks the listeners as busy before it returns, a simulated clock's
//! driver can tell exactly when the process is quiet: there is no moment at which work is known to nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_types::{Clock, Timestamp};
use tokio::sync::Notify;

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
    /// How often each feed rang.
    feeds: Mutex<HashMap<Arc<str>, u64>>,
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
            rested: Notify::new(),
        }))
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
        Listener { slot, bell: self.clone() }
    }

    /// Wakes the listeners of `topic`. They count as busy from now on.
    pub fn ring(&self, topic: &Topic) {
        self.0.activity.fetch_add(1, Ordering::SeqCst);
        if let Topic::Feed(feed, _) = topic {
            *lock(&self.0.feeds).entry(feed.clone()).or_default() += 1;
        }
        if let Some(slots) = lock(&self.0.topics).get(topic) {
            slots.iter().for_each(|it| it.wake());
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

    /// How often a feed has rung: as long as that stays, reading it again tells nothing new.
    #[must_use]
    pub fn rings(&self, feed: &str) -> u64 {
        lock(&self.0.feeds).get(feed).copied().unwrap_or_default()
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
}

impl Listener {
    /// Waits until a topic rings or the clock reaches `due`. Returns at once if a topic rang since the last return, so
    /// nothing is missed while working.
    pub async fn idle(&self, due: Option<Timestamp>) {
        loop {
            {
                let mut state = lock(&self.slot.state);
                if state.rung || due.is_some_and(|due| due <= self.bell.0.clock.now()) {
                    *state = SlotState::default();
                    return;
                }
                state.idle = true;
                state.due = due;
            }
            self.bell.0.rested.notify_waiters();
            let real_wait = match (due, self.bell.0.clock.simulation()) {
                (Some(due), None) => due.duration_since(self.bell.0.clock.now()).try_into().ok(),
                _ => None,
            };
            match real_wait {
                // A little longer than asked, so that the clock has surely passed the instant.
                Some(wait) => {
                    let wait: Duration = wait;
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
