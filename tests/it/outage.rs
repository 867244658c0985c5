//! Whatever six processes need may be away for a while under load: memory stays bounded, senders are told when to come
//! back, and once it is there again everything is made up for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::house::{House, Server, given};
use crate::kill::{assert_counted_once, assert_delivered, batch, open, send, settled, six};
use crate::relay::Relay;
use crate::sink::Sink;

/// The most that a process may grow by, in KiB: what waits is bounded by count, not by how long it waits.
const MOST_GROWTH: u64 = 200 * 1_024;

/// KiB of memory that each process holds.
fn memory(servers: &[Server]) -> Vec<u64> {
    let resident = |server: &Server| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    };
    servers.iter().map(resident).collect()
}

/// What senders were told while something was away.
struct Told {
    /// Batches that were acknowledged at the first attempt.
    taken: u32,
    /// Refusals for now, all of which say when to come back.
    later: u32,
    /// Of those, the ones that say that too much waits.
    busy: u32,
}

/// Sends under load while something goes away and comes back. Answers how many batches were acknowledged in all, and what
/// senders were told in between.
fn endure(
    house: &House,
    servers: &[Server],
    key: &str,
    mut goes: impl FnMut(),
    mut comes: impl FnMut(),
) -> (usize, Told) {
    const SENDERS: usize = 8;
    let before = memory(servers);
    let (taken, later, busy) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let is_away = AtomicBool::new(true);
    send(house, key, &batch(0, 0));
    goes();
    let sent: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (taken, later, busy, is_away) = (&taken, &later, &busy, &is_away);
                scope.spawn(move || {
                    let mut number = 0;
                    while is_away.load(Ordering::SeqCst) && number < 12 {
                        let body = batch(1 + sender, number);
                        number += 1;
                        match house.offer(key, &body) {
                            Ok((200, _)) => {
                                taken.fetch_add(1, Ordering::SeqCst);
                                continue;
                            }
                            Ok((code @ (429 | 503), head)) => {
                                assert!(
                                    head.contains("\r\nretry-after: "),
                                    "{code} says when to come back: {head}"
                                );
                                later.fetch_add(1, Ordering::SeqCst);
                                busy.fetch_add(u32::from(code == 429), Ordering::SeqCst);
                            }
                            other => panic!("{other:?}\n{}", house.said()),
                        }
                        while is_away.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        send(house, key, &body);
                    }
                    number
                })
            })
            .collect();
        // Long enough for time-outs to be felt, short enough for a test.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(12) && later.load(Ordering::SeqCst) < SENDERS as u32 {
            std::thread::sleep(Duration::from_millis(50));
        }
        for (was, is) in before.iter().zip(memory(servers)) {
            assert!(is < was + MOST_GROWTH, "grew from {was} to {is} KiB");
        }
        comes();
        is_away.store(false, Ordering::SeqCst);
        senders.into_iter().map(|it| it.join().unwrap()).sum()
    });
    let told = Told { taken: taken.into_inner(), later: later.into_inner(), busy: busy.into_inner() };
    eprintln!(
        "{sent} batches, {} taken at once, {} told to come later ({} busy)",
        told.taken, told.later, told.busy
    );
    (1 + sent, told)
}

#[test]
fn senders_are_told_when_to_come_back_while_postgres_is_away_and_everything_is_made_up_for() {
    // Room for two batches: the third has to wait outside.
    let Some((postgres, house)) = six(&[("ingestion.max_waiting_events", "100")]) else { return };
    let servers = house.serve_all();
    let key = open(&house);
    let (batches, told) = endure(&house, &servers, &key, || postgres.crash(), || postgres.revive());
    assert!(told.later > 0 && told.busy > 0, "nobody was told to wait");
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
}

#[test]
fn nothing_waits_for_redis() {
    let Some(redis) = given("PERENNIAL_TEST_REDIS") else { return };
    let mut relay = Relay::to(redis.trim_start_matches("redis://").trim_end_matches('/'));
    let url = format!("redis://{}/8", relay.address);
    let Some((_postgres, house)) = six(&[("cache.url", &url)]) else { return };
    relay.open();
    let servers = house.serve_all();
    let key = open(&house);
    let relay = std::cell::RefCell::new(relay);
    let gone = || relay.borrow_mut().close();
    let (batches, told) = endure(&house, &servers, &key, gone, || relay.borrow_mut().open());
    assert_eq!(told.later, 0, "events are taken in without Redis");
    assert!(told.taken > 0);
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
}

#[test]
fn messages_wait_for_the_mail_server_and_events_do_not() {
    let (sink, at) = Sink::open();
    let settings = [
        ("notification.transport", "smtp"),
        ("notification.smtp.host", "127.0.0.1"),
        ("notification.smtp.port", &at.port().to_string()),
    ];
    let Some((_postgres, house)) = six(&settings) else { return };
    let servers = house.serve_all();
    let key = open(&house);
    let (batches, told) = endure(&house, &servers, &key, || sink.be_away(true), || sink.be_away(false));
    assert_eq!(told.later, 0, "events are taken in without a mail server");
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
    assert_delivered(&sink, &books);
    assert!(
        books.messages.iter().all(|it| it.state == "accepted"),
        "a server that hangs up in time leaves no doubt"
    );
}
