//! The one driver of the simulated clocks: a step forward, wait until nothing is left to do, tell what happened in it,
//! wait again, see what came into the inboxes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use perennial_api::ingestion::v1::event_outcome::Result as Taken;
use perennial_api::ingestion::v1::{Event, GetIngestStatsRequest, IngestEventsRequest};
use perennial_api::loyalty::v1::{GetCouponRequest, GetOfferRequest, Offer};
use perennial_rpc::time;
use perennial_types::{Timestamp, from_micros, micros};

use super::browser::{Browser, Step};
use super::clocks::Clocks;
use super::fingerprint::Fingerprint;
use super::inbox::{Inbox, Mail};
use crate::cli::Demo;
use crate::output;
use crate::session::{Session, told};
use crate::simulator::{Coupon, Customer, Happening, Letter, Shop, What, wire};

/// Events of one request.
const BATCH: usize = 2_000;

/// Where the product runs that is simulated with.
pub struct World {
    /// The clocks of all its processes.
    pub clocks: Clocks,
    /// Where links in messages lead.
    pub http: SocketAddr,
    /// Where messages come in.
    pub mail: PathBuf,
    /// What arrives besides what the shop tells, and when; in order of time.
    pub script: Vec<(Timestamp, Event)>,
}

/// A simulation that is over.
pub struct Driven {
    /// The shop, which knows the truth.
    pub shop: Shop,
    /// Where the clock stands.
    pub end: Timestamp,
    /// Messages that reached an inbox, by campaign.
    pub mails: u64,
    /// Events in the log.
    pub events: i64,
    /// How long it took.
    pub took: Duration,
    /// What was sent, as one hash.
    pub letters: Fingerprint,
}

struct Driver<'a> {
    session: &'a Session,
    clocks: Clocks,
    /// What is still to arrive, soonest last.
    script: Vec<(Timestamp, Event)>,
    shop: Shop,
    inbox: Inbox,
    browser: Browser,
    /// What can be done with messages that came, by their ids.
    links: HashMap<String, Links>,
    offers: HashMap<String, Offer>,
    letters: Fingerprint,
    mails: u64,
}

/// The links of a message that a customer may still follow.
struct Links {
    open: Option<String>,
    click: Option<String>,
    unsubscribe: Option<String>,
}

/// Runs the shop from its first day to its last.
///
/// # Errors
/// If a service fails or refuses.
pub async fn drive(session: &Session, world: World, shop: Shop, what: &Demo) -> anyhow::Result<Driven> {
    let began = Instant::now();
    let bar = output::days(u64::from(what.days));
    if session.is_json() {
        bar.clear();
    }
    let World { clocks, http, mail, mut script } = world;
    script.reverse();
    let mut driver = Driver {
        session,
        clocks,
        script,
        inbox: Inbox::at(&mail),
        browser: Browser::new(http),
        links: HashMap::new(),
        offers: HashMap::new(),
        letters: Fingerprint::default(),
        mails: 0,
        shop,
    };
    let slice = i64::from(what.slice) * 3_600_000_000;
    let start = micros(driver.shop.settings().start);
    let end = start + i64::from(what.days) * 86_400_000_000;
    let mut now = start;
    let mut told_events = 0_u64;
    driver.clocks.quiet().await?;
    while now < end {
        let scripted = driver.script.last().map(|it| micros(it.0));
        let happens = driver.shop.next_at().map(micros);
        let next = [happens, scripted, driver.clocks.next_due().await?].into_iter().flatten().min();
        // The next slice in which anything is to happen, timers included.
        let slices =
            next.map_or(i64::MAX, |it| (it - start).div_euclid(slice) + i64::from((it - start) % slice != 0));
        now = start.saturating_add(slices.saturating_mul(slice)).max(now + slice).min(end);
        told_events += driver.slice(from_micros(now)).await?;
        let day = u64::try_from((now - start) / 86_400_000_000).unwrap_or_default();
        bar.set(day);
        bar.say(format!(
            "{} events   {} e-mails",
            output::thousands(told_events),
            output::thousands(driver.mails)
        ));
    }
    bar.clear();
    let request = GetIngestStatsRequest { name: format!("{}/ingestStats", session.parent()) };
    let stats = session.ingestion().get_ingest_stats(request).await.map_err(told)?.into_inner();
    let Driver { shop, mails, letters, .. } = driver;
    Ok(Driven {
        shop,
        end: from_micros(end),
        mails,
        events: stats.accepted_count,
        took: began.elapsed(),
        letters,
    })
}

impl Driver<'_> {
    /// One slice of time, ending now. Answers how many events the shop told.
    async fn slice(&mut self, now: Timestamp) -> anyhow::Result<u64> {
        self.clocks.advance(now).await?;
        // What customers do depends on what they got before; it is worked out while the services are busy.
        let happened = self.shop.until(now);
        self.clocks.quiet().await?;
        if !happened.is_empty() {
            self.tell(&happened).await?;
            self.clocks.quiet().await?;
        }
        let mut count = happened.len() as u64;
        while let Some((_, event)) = self.script.pop_if(|it| it.0 <= now) {
            // One after the other: a script may say of the same customer what follows from what.
            self.ingest(vec![event]).await?;
            self.clocks.quiet().await?;
            count += 1;
        }
        self.read_mail(now).await?;
        Ok(count)
    }

    /// Sends the shop's events, and follows the links that customers follow.
    async fn tell(&mut self, happened: &[Happening]) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut walks: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
        for it in happened {
            let customer = self.shop.customer(it.customer).context("a customer that there is not")?;
            events.extend(wire::event(customer, it));
            walks.entry(it.customer).or_default().extend(self.step(&it.what));
        }
        let withdrawn = walks.values().flatten().any(|it| matches!(it, Step::Press(..)));
        self.browser.walk(walks.into_values().collect()).await?;
        if withdrawn {
            // The withdrawal reaches the log by notification's outbox. What the same customer does next must come after it,
            // or two runs may differ in who still enters a campaign.
            self.clocks.quiet().await?;
        }
        let mut rest = events.into_iter().peekable();
        while rest.peek().is_some() {
            self.ingest(rest.by_ref().take(BATCH).collect()).await?;
        }
        Ok(())
    }

    async fn ingest(&self, events: Vec<Event>) -> anyhow::Result<()> {
        let request = IngestEventsRequest { parent: self.session.parent(), events, historical: false };
        let outcomes = self.session.ingestion().ingest_events(request).await.map_err(told)?.into_inner();
        if let Some(bad) = outcomes.outcomes.iter().find(|it| it.result() == Taken::Rejected) {
            bail!("the shop sent an event that was refused: {}", bad.reason);
        }
        Ok(())
    }

    /// What a customer does with a message, if it can still be done.
    fn step(&self, what: &What) -> Option<Step> {
        match what {
            What::Opened(id) => self.links.get(id)?.open.clone().map(Step::Look),
            What::Clicked(id) => self.links.get(id)?.click.clone().map(Step::Look),
            What::Unsubscribed(id) => self
                .links
                .get(id)?
                .unsubscribe
                .clone()
                .map(|it| Step::Press(it, "List-Unsubscribe=One-Click")),
            _ => None,
        }
    }

    /// Hands what came to the customers. In the order of customer, campaign and step: ids are new in every run.
    async fn read_mail(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mails = self.inbox.collect()?;
        if mails.is_empty() {
            return Ok(());
        }
        let mut letters = Vec::with_capacity(mails.len());
        for mail in mails {
            self.mails += 1;
            let Some(customer) = Customer::of_email(&mail.to) else { continue };
            let coupon = match &mail.coupon {
                Some(code) => self.coupon(code).await?,
                None => None,
            };
            let Mail { id, campaign, step, open, click, unsubscribe, .. } = mail;
            self.links.insert(id.clone(), Links { open, click, unsubscribe });
            letters.push(Letter { id, customer, campaign, step, at: now, coupon });
        }
        letters.sort_by(|a, b| (a.customer, &a.campaign, &a.step).cmp(&(b.customer, &b.campaign, &b.step)));
        for letter in &letters {
            self.letters.letter(letter);
            self.shop.receive(letter);
        }
        Ok(())
    }

    async fn coupon(&mut self, code: &str) -> anyhow::Result<Option<Coupon>> {
        let request = GetCouponRequest { name: self.session.name("coupons", code) };
        let coupon = self.session.loyalty().get_coupon(request).await.map_err(told)?.into_inner();
        if !self.offers.contains_key(&coupon.offer) {
            let request = GetOfferRequest { name: self.session.name("offers", &coupon.offer) };
            let offer = self.session.loyalty().get_offer(request).await.map_err(told)?.into_inner();
            self.offers.insert(coupon.offer.clone(), offer);
        }
        let (Some(offer), Some(until)) = (self.offers.get(&coupon.offer), coupon.expire_time.as_ref()) else {
            return Ok(None);
        };
        Ok(Some(Coupon {
            code: coupon.code,
            per_mille: offer.per_mille.into(),
            amount: offer.amount_minor,
            free_shipping: offer.free_shipping,
            until: time::from_wire(until, "expire_time")?,
        }))
    }
}
