//! What waits to be committed: jobs in the queue of their lane, within a limit.

use perennial_feed::{Bell, Topic};
use perennial_store::Store;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};

use super::backlog::Backlog;
use super::pass::Taken;
use crate::domain::event::Event;
use crate::domain::settings::Settings;
use crate::error::{Error, Result};

/// Most events of one transaction.
const BATCH: usize = 4_000;

/// Events of one request that concern the same people, in order: they are taken in one after the other.
pub struct Job {
    /// The workspace's settings.
    pub settings: Arc<Settings>,
    /// The events, with their places in the request.
    pub events: Arc<Vec<(usize, Event)>>,
    /// How many are done.
    pub done: usize,
    /// What became of those.
    pub outcomes: Vec<(usize, Taken)>,
    /// How often it was handed on.
    pub hops: usize,
    /// Who waits for it.
    pub reply: oneshot::Sender<Vec<(usize, Taken)>>,
}

/// The queues of all lanes. Cheap to clone.
#[derive(Clone)]
pub struct Queues(Arc<Inner>);

struct Inner {
    lanes: Vec<Queue>,
    bell: Bell,
    waiting: AtomicUsize,
    most: usize,
    backlog: Backlog,
    /// Told whenever room is given back.
    room: Notify,
}

/// The queue of one lane.
pub struct Queue {
    /// The lane's partitions.
    pub partitions: Vec<u16>,
    /// Rings when a job comes.
    pub topic: Topic,
    jobs: Mutex<VecDeque<Job>>,
}

impl Queue {
    /// Takes as many jobs as one transaction should hold, in order.
    pub fn take(&self) -> Vec<Job> {
        let mut waiting = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut events = 0;
        while let Some(job) = waiting.pop_front() {
            events += job.events.len() - job.done;
            taken.push(job);
            if events >= BATCH {
                break;
            }
        }
        taken
    }

    /// Drops what waits: its senders hear that nothing is certain, and send again.
    pub fn clear(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Queues {
    /// Empty queues, one for each committer over the lanes of `store`, of at most `most` events together, which fill only
    /// while readers of the log keep up with it.
    pub fn new(store: &Store, bell: Bell, most: usize, backlog: Backlog) -> Self {
        let parts = store.lanes(perennial_feed::PARTITIONS);
        let lanes = parts.into_iter().enumerate().map(|(n, partitions)| Queue {
            partitions,
            topic: Topic::other(&format!("ingestion lane {n}")),
            jobs: Mutex::default(),
        });
        Self(Arc::new(Inner {
            lanes: lanes.collect(),
            bell,
            waiting: AtomicUsize::new(0),
            most,
            backlog,
            room: Notify::new(),
        }))
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.0.lanes.len()
    }

    /// The queue of lane `number`.
    pub fn lane(&self, number: usize) -> Option<&Queue> {
        self.0.lanes.get(number)
    }

    /// The process's bell.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// Takes room for `events` more.
    ///
    /// # Errors
    /// [`Error::Busy`] if there is none; [`Error::Behind`] if a reader of the log is too far behind.
    pub fn reserve(&self, events: usize) -> Result<()> {
        self.0.backlog.check()?;
        let grow = |waiting: usize| {
            // A request larger than all the room may still come in alone.
            (waiting == 0 || waiting + events <= self.0.most).then_some(waiting + events)
        };
        let grown = self.0.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grow);
        grown.map(|_| ()).map_err(|_| Error::Busy)
    }

    /// Takes room for `events` more as soon as there is any.
    pub async fn reserve_when_room(&self, events: usize) {
        loop {
            // Listening begins before looking, or room given back in between would be missed.
            let mut given_back = std::pin::pin!(self.0.room.notified());
            given_back.as_mut().enable();
            let caught_up = self.0.backlog.falls();
            match self.reserve(events) {
                Ok(()) => return,
                Err(Error::Behind { .. }) => caught_up.await,
                Err(_) => given_back.await,
            }
        }
    }

    /// Gives the room of `events` back.
    pub fn release(&self, events: usize) {
        self.0.waiting.fetch_sub(events, Ordering::SeqCst);
        self.0.room.notify_waiters();
    }

    /// Puts a job into the queue of the lane that has `partition`.
    pub fn push(&self, partition: u16, job: Job) {
        let Some(lane) = self.0.lanes.iter().find(|it| it.partitions.contains(&partition)) else { return };
        lane.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.0.bell.ring(&lane.topic);
    }
}
