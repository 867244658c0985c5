//! Whoever steals a copy of everything (the databases, the cache, the files, the logs) has no key to come in with.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use perennial_testing::values_in;
use serde_json::json;

use crate::home::Home;
use crate::house::request;

const TOKEN: &str = "the-token-of-this-installation";

/// A key, and its beginning, which is shown in lists.
struct Key {
    name: String,
    text: String,
    prefix: String,
}

impl Key {
    fn make(home: &Home, arguments: &[&str]) -> Self {
        let made = home.ask_as(TOKEN, &[&["keys", "create"], arguments, &["-o", "json"]].concat()).unwrap();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Self { name: text("name"), text: text("key"), prefix: text("key_prefix") }
    }

    /// Everything by which it could be told again: as it is, without what all keys begin with, and in other writings.
    fn writings(&self) -> Vec<String> {
        let secret = self.text.split_once('_').unwrap().1;
        let bytes = URL_SAFE_NO_PAD.decode(secret).unwrap();
        let hex = bytes.iter().map(|it| format!("{it:02x}")).collect();
        // Basic authorization, with a colon behind it.
        let basic = STANDARD.encode(format!("{}:", self.text));
        vec![self.text.clone(), secret.to_owned(), hex, STANDARD.encode(&bytes), basic]
    }
}

/// Shows a key wherever one can be shown, over HTTP.
fn send_by_every_way(home: &Home, key: &str) -> Vec<u16> {
    let event = |id: &str| json!({ "type": "track", "event": "E", "userId": "u", "messageId": id });
    let with = |id: &str, name: &str, value: &str| {
        let mut event = event(id);
        event[name] = value.into();
        event
    };
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        request(home.http, "POST", path, headers, body).unwrap().0
    };
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let bearer = format!("Bearer {key}");
    let plain = |id: &str| event(id).to_string();
    let get = |path: String| request(home.http, "GET", &path, &[], "").unwrap().0;
    let refused = json!({ "type": "track", "writeKey": key, "messageId": "x", "userId": "u", "event": "Order Completed",
                          "properties": { "revenue": "?" } });
    vec![
        post("/v1/track", &[("authorization", &basic)], &plain("1")),
        post("/v1/track", &[("authorization", &bearer)], &plain("2")),
        post("/v1/track", &[("x-write-key", key)], &plain("3")),
        post(&format!("/v1/track?writeKey={key}"), &[], &plain("4")),
        post("/v1/track", &[], &with("5", "writeKey", key).to_string()),
        // The name of the field may be written with escapes.
        post("/v1/track", &[], &with("6", "writeKey", key).to_string().replace("writeKey", "write\\u004bey")),
        post("/v1/batch", &[], &json!({ "writeKey": key, "batch": [event("7")] }).to_string()),
        post("/v1/batch", &[], &json!({ "batch": [with("8", "writeKey", key), refused] }).to_string()),
        get(format!(
            "/v1/pixel/track?writeKey={key}&data={}",
            STANDARD.encode(plain("9")).replace('+', "%2B")
        )),
        get(format!("/v1/projects/{key}/settings")),
    ]
}

/// The files below a folder, each with the keys that it holds as bytes.
fn in_files(folder: &Path, secrets: &[Vec<u8>], values: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(in_files(&path, secrets, values));
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let holds = |secret: &&Vec<u8>| bytes.windows(secret.len()).any(|it| it == secret.as_slice());
        found.extend(secrets.iter().filter(holds).map(|_| format!("{}: the bytes of a key", path.display())));
        found.extend(values_in(&bytes, values).map(|it| format!("{}: {it}", path.display())));
    }
    found
}

fn story(mut home: Home) {
    home.settings.push(("PERENNIAL_SERVER__TOKEN", TOKEN.to_owned()));
    let server = home.serve();
    let [shop, ended] = ["shop", "ended"].map(|it| Key::make(&home, &[it]));
    let [robot, gone] = ["robot", "gone"].map(|it| Key::make(&home, &[it, "--scope", "admin"]));

    // Every one is used, over HTTP and gRPC; some are ended after that.
    for key in [&shop, &ended] {
        assert_eq!(send_by_every_way(&home, &key.text), [200; 10]);
        assert!(home.ask_as(&key.text, &["get", "segments"]).is_err(), "it only sends events");
    }
    for key in [&robot, &gone] {
        home.ask_as(&key.text, &["get", "segments"]).unwrap();
        assert_eq!(send_by_every_way(&home, &key.text), [200; 10]);
    }
    for key in [&ended, &gone] {
        home.ask_as(TOKEN, &["keys", "revoke", key.name.rsplit('/').next().unwrap()]).unwrap();
        assert!(home.ask_as(&key.text, &["get", "segments"]).is_err(), "it is ended");
    }
    // One that never was one, as somebody would mistype it.
    let text = format!("{}0000{}", &shop.text[..20], &shop.text[24..]);
    let mistyped = Key { text, name: String::new(), prefix: String::new() };
    assert_eq!(send_by_every_way(&home, &mistyped.text), [401; 10]);
    assert!(home.ask_as(&mistyped.text, &["get", "segments"]).is_err());
    home.wait("the events are taken in", || {
        home.ask_as(TOKEN, &["status", "-o", "json"]).unwrap()["events"]["accepted"] == json!(9)
    });

    let keys = [&shop, &ended, &robot, &gone, &mistyped];
    let writings: Vec<String> = keys.iter().flat_map(|it| it.writings()).collect();
    let mut values: Vec<&str> = writings.iter().map(String::as_str).collect();
    values.push(TOKEN);
    let secrets: Vec<Vec<u8>> =
        keys.iter().map(|it| URL_SAFE_NO_PAD.decode(it.text.split_once('_').unwrap().1).unwrap()).collect();
    let everywhere = |values: &[&str]| {
        let mut found = home.leaks(values);
        found.extend(in_files(home.folder.path(), &secrets, values));
        if let Some(folder) = home.database.config.url.strip_prefix("sqlite:") {
            found.extend(in_files(Path::new(folder), &secrets, values));
        }
        found
    };
    // What is shown of a key is found where it is looked for, so keys would be, too.
    for key in [&shop, &ended, &robot, &gone] {
        let found = everywhere(&[&key.prefix]);
        assert!(found.iter().any(|it| it.contains("ingestion")), "{found:?}");
    }
    assert_eq!(everywhere(&values), Vec::<String>::new());
    drop(server);
    assert_eq!(everywhere(&values), Vec::<String>::new(), "nor after the process ended");
}

#[test]
fn no_key_can_be_told_from_the_files_and_the_log() {
    story(Home::new(perennial_testing::sqlite(), None));
}

#[test]
fn no_key_can_be_told_from_the_tables_the_cache_and_the_log() {
    let redis = std::env::vars().find(|(name, _)| name == "PERENNIAL_TEST_REDIS").map(|it| it.1);
    let Some(database) = perennial_testing::postgres() else { return };
    story(Home::new(database, redis));
}
