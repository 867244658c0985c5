//! `kill -9` of the whole process under load, again and again: what was acknowledged counts once, every message lies in
//! the maildir once, and the books balance.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::house::House;

/// A zone in which it is noon now, so that quiet hours hold nothing back.
pub fn noon() -> String {
    let seconds = std::fs::metadata("/proc/self").and_then(|it| it.modified()).unwrap();
    let hour = seconds.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 3_600 % 24;
    match 12 - i64::try_from(hour).unwrap() {
        ahead if ahead > 0 => format!("Etc/GMT-{ahead}"),
        behind => format!("Etc/GMT+{}", -behind),
    }
}

/// Ten people who sign up, and ten orders of another ten.
fn batch(round: usize, number: usize, zone: &str) -> String {
    let items = (0..10).flat_map(|n| {
        let id = format!("{round}-{number}-{n}");
        [
            serde_json::json!({
                "type": "identify", "userId": format!("lead-{id}"), "messageId": format!("i-{id}"),
                "traits": {"email": format!("lead-{id}@example.com"), "email_consent": true},
                "context": {"timezone": zone},
            }),
            serde_json::json!({
                "type": "track", "event": "Order Completed", "userId": format!("buyer-{id}"),
                "messageId": format!("o-{id}"),
                "properties": {"order_id": id, "revenue": 25.00, "currency": "EUR"},
            }),
        ]
    });
    serde_json::json!({ "batch": items.collect::<Vec<_>>() }).to_string()
}

fn mails(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["new", "cur"] {
        let path = house.data().join("maildir").join(folder);
        for entry in std::fs::read_dir(path).into_iter().flatten() {
            found.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    found
}

#[test]
fn what_was_acknowledged_counts_once_however_often_the_process_is_killed() {
    let rounds = std::env::var_os("PERENNIAL_TEST_KILLS")
        .and_then(|it| it.into_string().ok()?.parse().ok())
        .unwrap_or(5);
    let house = House::new(&[]);
    let zone = noon();
    let mut serve = house.serve();
    house.wait_until_up();
    house.ask(&["apply", "-f", "playbook:welcome", "--live"]);
    let key = house.ask(&["keys", "create", "load", "-o", "json"])["key"].as_str().unwrap().to_owned();

    let mut batches = 0;
    for round in 0..rounds {
        // Four clients send, each a batch until it is acknowledged, while the process dies and comes back.
        let sent: usize = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (house, key, zone) = (&house, &key, &zone);
                    scope.spawn(move || {
                        let mut number = client;
                        for _ in 0..6 {
                            let body = batch(round, number, zone);
                            let acknowledged = (0..600).any(|_| {
                                let done = house.post(key, &body);
                                if !done {
                                    std::thread::sleep(Duration::from_millis(50));
                                }
                                done
                            });
                            assert!(acknowledged, "{}", std::fs::read_to_string(house.log()).unwrap());
                            number += 4;
                        }
                        6
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(37 + 61 * (round as u64 % 7)));
            serve.0.kill().unwrap();
            serve.0.wait().unwrap();
            serve = house.serve();
            clients.into_iter().map(|it| it.join().unwrap()).sum()
        });
        batches += sent;
    }
    house.wait_until_up();

    // Until everything is worked off.
    let mut status = serde_json::Value::Null;
    for _ in 0..600 {
        status = house.ask(&["status", "-o", "json"]);
        let behind = status["readers"].as_array().unwrap().iter().any(|it| it["behind"] != 0);
        let underway = ["claimed", "handing"]
            .iter()
            .any(|it| status["messages"]["welcome"][it].as_i64().unwrap_or(0) > 0);
        if !behind && !underway && status["customers"].as_i64() == i64::try_from(batches * 10).ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let expected = i64::try_from(batches * 10).unwrap();
    // Each e-mail that was delivered comes back as an event of its own.
    let reported = status["messages"]["welcome"]["accepted"].as_i64().unwrap_or(0);
    let accepted = status["events"]["accepted"].as_i64().unwrap();
    assert!((2 * expected..=2 * expected + reported).contains(&accepted), "{status:#}");
    assert_eq!(status["orders"].as_i64(), Some(expected), "{status:#}");
    assert_eq!(status["revenue_minor"].as_i64(), Some(expected * 2_500));
    assert_eq!(status["profiles"].as_i64(), Some(2 * expected));
    assert_eq!(status["parked"].as_i64(), Some(0));

    let mails = mails(&house);
    let ids: BTreeSet<&str> = mails
        .iter()
        .filter_map(|it| it.lines().find(|line| line.to_lowercase().starts_with("message-id")))
        .collect();
    let people: BTreeSet<&str> =
        mails.iter().filter_map(|it| it.lines().find(|line| line.starts_with("To:"))).collect();
    assert_eq!(ids.len(), mails.len(), "no mail twice");
    assert_eq!(people.len(), mails.len(), "nobody got the first message twice");
    assert_eq!(
        i64::try_from(mails.len()).unwrap(),
        reported,
        "what is shown as accepted is in the inbox: {status:#}"
    );
    assert_eq!(
        status["messages"]["welcome"]["unknown"].as_i64().unwrap_or(0),
        0,
        "a maildir never leaves a doubt"
    );
    assert!(reported * 10 >= expected * 5, "most got one (the rest are held out): {reported} of {expected}");
    drop(serve);
}
