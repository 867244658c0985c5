//! Events that were refused, from the command line.

use crate::perennial;

#[test]
fn what_a_plan_refuses_is_listed_mended_and_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let plan =
        "kind: TrackingPlan\nevents:\n  Signed Up:\n    mode: enforce\n    schema: { required: [plan] }\n";
    let plan = file("plan.yaml", plan);
    for sign in ["+ tracking-plan", "= 1 unchanged"] {
        let applied = perennial(&data, &["apply", "-f", &plan]);
        assert!(applied.code == 0 && applied.out.contains(sign), "{}{}", applied.out, applied.err);
    }
    let wrong = file("wrong.yaml", "kind: TrackingPlan\nevents:\n  A:\n    schema: { type: 7 }\n");
    let refused = perennial(&data, &["apply", "-f", &wrong]);
    assert!(refused.code == 1 && refused.err.contains("wrong.yaml:3: events.A"), "{}", refused.err);

    let events = file(
        "events.csv",
        "event,timestamp,user_id,tier\nSigned Up,2026-01-01,1,pro\nSigned Up,2026-01-01,2,x\n",
    );
    let imported = perennial(&data, &["import", "events", &events, "-o", "json"]).json();
    assert_eq!((&imported["accepted"], &imported["rejected"]), (&0.into(), &2.into()));
    let listed = || perennial(&data, &["rejected", "list", "-o", "json"]).json();
    let cause = listed()["causes"][0]["cause"].as_str().unwrap().to_owned();
    let patch = r#"[{"op":"move","from":"/properties/tier","path":"/properties/plan"}]"#;
    let fix = ["rejected", "fix", &cause, "--patch", patch, "-o", "json"];
    let asked = perennial(&data, &[&fix[..], &["--dry-run"]].concat()).json();
    assert_eq!((&asked["good"], &listed()["causes"][0]["fixed"]), (&2.into(), &0.into()));
    assert_eq!(perennial(&data, &fix).json()["good"], 2);
    let shown = perennial(&data, &["rejected", "show", &cause, "-o", "json"]).json();
    assert!(
        shown[0]["sent"]["properties"]["tier"].is_string()
            && shown[0]["mended"]["properties"]["plan"].is_string()
    );
    let replay = || perennial(&data, &["rejected", "replay", &cause, "-o", "json"]).json();
    assert_eq!(replay()["accepted"], 2);
    assert_eq!(replay()["accepted"], 0, "each counts once");
    assert_eq!(listed()["causes"], serde_json::json!([]));
    let status = perennial(&data, &["status", "-o", "json"]).json();
    assert_eq!((&status["events"]["accepted"], &status["profiles"]), (&2.into(), &2.into()));
    let without = perennial(&data, &["rejected", "fix", &cause]);
    assert!(without.code == 1 && without.err.contains("--patch"), "{}", without.err);
}
