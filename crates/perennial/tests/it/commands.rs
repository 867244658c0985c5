//! Commands on a folder: what they change, show and refuse.

use crate::perennial;

#[test]
fn a_command_that_is_not_understood_ends_with_two_and_one_that_fails_with_one() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(perennial(folder.path(), &["improt"]).code, 2);
    let nowhere = perennial(&folder.path().join("nowhere"), &["status"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.starts_with("error: there is no data in"), "{}", nowhere.err);
    let help = perennial(folder.path(), &["import", "--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("--date-format '%d.%m.%Y %H:%M'"), "{}", help.out);
}

#[test]
fn definitions_are_previewed_applied_and_told_apart_from_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let orders = folder.path().join("orders.csv");
    std::fs::write(&orders, "customer,date,amount\nana,2025-01-05,10\nana,2025-02-05,10\nben,2025-01-05,5\n")
        .unwrap();
    let orders = orders.to_string_lossy().into_owned();
    assert_eq!(perennial(&data, &["import", "orders", &orders, "--currency", "EUR"]).code, 0);

    let file = folder.path().join("regulars.yaml");
    let text = "kind: Segment\nname: regulars\ndescription: Two orders or more.\nrule: orders >= 2\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_string_lossy().into_owned();
    let dry = perennial(&data, &["apply", "-f", &path, "--dry-run"]);
    assert!(dry.out.contains("+ segment/regulars    would hold 1 of 2 profiles"), "{}{}", dry.out, dry.err);
    assert!(perennial(&data, &["get", "segments"]).out.contains("no segments yet"));
    assert_eq!(perennial(&data, &["apply", "-f", &path]).code, 0);
    let again = perennial(&data, &["apply", "-f", &path]);
    assert_eq!(again.out, "  = 1 unchanged\n");
    let listed = perennial(&data, &["get", "segments", "-o", "json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["members"]), (&"regulars".into(), &1.into()));
    std::fs::write(&file, text.replace(">= 2", ">= 1")).unwrap();
    let changed = perennial(&data, &["apply", "-f", &path]);
    assert!(changed.out.contains("~ segment/regulars    rule changed: 1 enter, 0 leave"), "{}", changed.out);

    std::fs::write(&file, "kind: Segment\nname: broken\nrule: orders >= \"2\"\n").unwrap();
    let broken = perennial(&data, &["apply", "-f", &path]);
    assert_eq!(broken.code, 1);
    assert!(broken.err.contains("regulars.yaml:3: rule does not type-check"), "{}", broken.err);
    assert!(broken.err.contains("|  rule: orders >= \"2\"") && broken.err.contains('^'), "{}", broken.err);
}

#[test]
fn every_playbook_can_be_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = perennial(folder.path(), &["apply", "-f", "playbook:nothing"]);
    assert_eq!(unknown.code, 1);
    for playbook in ["welcome", "cart", "at-risk-save"] {
        let file = format!("playbook:{playbook}");
        assert!(unknown.err.contains(playbook), "{}", unknown.err);
        let applied = perennial(folder.path(), &["apply", "-f", &file, "--live"]);
        assert_eq!(applied.code, 0, "{}", applied.err);
    }
    let campaigns = perennial(folder.path(), &["get", "campaigns", "-o", "json"]).json();
    let live = campaigns.as_array().unwrap().iter().filter(|it| it["state"] == "live").count();
    assert_eq!(live, 3, "{campaigns}");
    assert_eq!(perennial(folder.path(), &["pause", "welcome"]).code, 0);
    assert!(perennial(folder.path(), &["describe", "campaign", "welcome"]).out.contains("paused"));
    assert_eq!(perennial(folder.path(), &["pause", "--reason", "wrong price"]).code, 0);
    let status = perennial(folder.path(), &["status"]);
    assert!(status.out.contains("PAUSED: nothing is sent (wrong price)"), "{}{}", status.out, status.err);
    assert_eq!(perennial(folder.path(), &["resume"]).code, 0);
}

#[test]
fn a_write_key_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = perennial(folder.path(), &["keys", "create", "web shop", "-o", "json"]).json();
    let key = made["key"].as_str().unwrap();
    let listed = perennial(folder.path(), &["keys", "list"]);
    assert!(listed.out.contains("web shop") && !listed.out.contains(key), "{}", listed.out);
    let id = made["name"].as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(perennial(folder.path(), &["keys", "revoke", id]).code, 0);
}
