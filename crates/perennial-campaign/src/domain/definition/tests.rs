use perennial_types::{Channel, Currency, Purpose};

use super::*;

fn read(text: &str) -> Result<Campaign, DefinitionError> {
    super::read(text, Currency::EUR)
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

const LADDER: &str = r#"
kind: Campaign
name: reorder-ladder
description: Ask nicely first; free shipping next; a discount only for those whose value pays for it.
trigger: { overdue: true }                      # their own rhythm, not "30 days"
entry: consent("email", "marketing") && orders >= 1
instance: profile
goal: { event: Order Completed, within: 14d }
holdout: 5%
priority: expected_incremental_profit
steps:
  - message: { template: reorder-plain }
  - wait: 4d
  - offer:   { coupon: free-shipping, valid: 7d, when: clv.expected_profit_90d > money("8.00") }
    message: { template: reorder-free-shipping }
  - wait: 5d
  - offer:   { coupon: ten-percent, valid: 5d, when: clv.expected_profit_90d > money("20.00") && margin >= 0.15 }
    message: { template: reorder-ten-percent }
"#;

#[test]
fn a_ladder_reads_like_what_it_does() {
    let campaign = read(LADDER).unwrap();
    assert_eq!((campaign.name.as_str(), campaign.trigger), ("reorder-ladder", Trigger::Overdue));
    assert!((campaign.holdout - 0.05).abs() < 1e-12);
    assert_eq!(campaign.program.len(), 5);
    let Op::Message(message) = &campaign.program[2] else { panic!("{:?}", campaign.program) };
    assert_eq!(message.offer.as_ref().map(|it| it.coupon.as_str()), Some("free-shipping"));
    assert_eq!((message.channel, message.purpose), (Channel::Email, Purpose::Marketing));
    assert!(matches!(campaign.priority, Priority::ExpectedIncrementalProfit { .. }));
}

#[test]
fn branches_splits_and_waits_join_again() {
    let campaign = read(
        r#"
kind: Campaign
name: all-steps
trigger: { event: Product Viewed, where: it.product_id != null }
steps:
  - wait_until: { event: Order Completed, timeout: 30m, then: [ { exit: bought } ] }
  - branch:
      when: orders == 0
      then:
        - message: hello
      else:
        - split:
            name: subject
            arms:
              - weight: 1
                steps: [ { message: { template: hello, channel: sms } } ]
              - weight: 3
  - webhook: { template: crm }
"#,
    )
    .unwrap();
    let steps: Vec<_> = campaign.messages().map(|it| it.step.as_str()).collect();
    assert_eq!(steps, ["hello", "hello-2", "crm"]);
    let last = campaign.program.len() - 1;
    assert!(matches!(&campaign.program[last], Op::Message(it) if it.purpose == Purpose::Transactional));
    for (position, op) in campaign.program.iter().enumerate() {
        let targets = match op {
            Op::Jump(target) => vec![*target],
            Op::WaitUntil { otherwise, .. } | Op::Branch { otherwise, .. } => vec![*otherwise],
            Op::Split { arms, .. } => arms.iter().map(|it| it.1).collect(),
            _ => vec![],
        };
        assert!(targets.iter().all(|it| *it > position && *it <= last), "{position}: {op:?}");
    }
}

#[test]
fn errors_name_line_field_reason_and_remedy() {
    let base = |line: &str| {
        format!("kind: Campaign\nname: x\ntrigger: {{ overdue: true }}\n{line}\nsteps:\n  - message: a\n")
    };
    for (text, expected) in [
        (
            base("holdout: 5"),
            "line 4: holdout: \"5\" is not a share: write a percentage from 0% to 90%, such as 5%",
        ),
        (base("holdot: 5%"), "line 4: holdot: no such field: did you mean holdout?"),
        (
            base("entry: orders >= \"2\""),
            "line 4: entry: at character 8: a number >= text cannot be compared",
        ),
        (base("entry: profit > 100"), "write amounts as money(\"8.00\")"),
        (base("entry: count(\"x\")"), "no function count: use consent"),
        (base("goal: { within: 3d }"), "line 4: goal.event: is missing: name the event"),
        (base("grace: soon"), "line 4: grace: \"soon\" is not a length of time"),
        (base("name: y"), "line 4: name: written twice: keep one"),
        (base("purpose: spam"), "line 4: purpose: \"spam\" is not a purpose"),
        ("kind: Segment\nname: x".to_owned(), "line 1: kind: \"Segment\" is not a campaign"),
        ("kind: Campaign\nname: x\n".to_owned(), "trigger: is missing: say what starts it"),
        ("kind: Campaign\n  name: [x\n".to_owned(), "not valid YAML"),
        (
            base("").replace("message: a", "messge: a"),
            "line 6: steps[0].messge: no such field: did you mean message?",
        ),
        (base("").replace("message: a", "wait: 3 days"), "line 6: steps[0].wait: \"3 days\" is not a length"),
        (
            base("").replace("- message: a", "- offer: { coupon: c }"),
            "line 6: steps[0]: an offer needs a message",
        ),
        (base("").replace("- message: a", "- wait: 1d"), "line 6: steps: sends nothing"),
    ] {
        let found = refused(&text);
        assert!(found.contains(expected), "{text}\n{found}\n{expected}");
    }
}

#[test]
fn no_input_exhausts_the_stack() {
    let deep = |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    let file = |entry: &str| {
        format!(
            "kind: Campaign\nname: x\ntrigger: {{ overdue: true }}\nentry: '{entry}'\nsteps: [ {{ message: a }} ]"
        )
    };
    assert!(read(&file(&deep("(", ")", 16))).is_ok());
    assert!(refused(&file(&deep("(", ")", 17))).contains("nested deeper than 16"));
    assert!(refused(&file(&deep("!", "", 1_000))).contains("nested deeper than 16"));
    assert!(refused(&file(&"x".repeat(5_000))).contains("longer than 4096 bytes"));
    assert!(refused(&format!("kind: {}", deep("[", "]", 20_000))).contains("nested deeper"));
    let indented: String = (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n.min(30) * 2))).collect();
    assert!(read(&indented).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z:{}\\[\\] \n\"'0-9%&|()!<>=.-]{0,200}") {
        let _ = read(&text);
        let _ = crate::domain::expr::check(&text, Currency::EUR);
    }
}

#[test]
fn a_budget_is_of_the_workspaces_currency_and_needs_something_to_give() {
    let with = |budget: &str, steps: &str| {
        let text =
            format!("kind: Campaign\nname: x\ntrigger: {{ event: Go }}\nbudget: {budget}\nsteps:\n{steps}");
        super::read(&text, Currency::EUR).map_err(|error| error.to_string())
    };
    let gives = "  - offer: { coupon: ten }\n    message: { template: ten }\n";
    assert_eq!(with("{ incentive: 2500 EUR per month }", gives).unwrap().budget, Some(250_000));
    for (budget, steps, said) in [
        (
            "{ incentive: 2500 USD per month }",
            gives,
            "budget.incentive: \"2500 USD per month\" is in another currency",
        ),
        ("{ incentive: 2500 EUR }", gives, "is no budget: write one such as 2500 EUR per month"),
        ("{ incentives: 2500 EUR per month }", gives, "budget.incentive: is missing"),
        (
            "{ incentive: 2500 EUR per month }",
            "  - message: { template: a }\n",
            "no step gives anything away",
        ),
    ] {
        let refused = with(budget, steps).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let elsewhere = "kind: Campaign\nname: x\ntrigger: { event: Go }\nentry: margin_after_discount > 0.1\n\
        steps:\n  - message: { template: a }\n";
    let refused = super::read(elsewhere, Currency::EUR).unwrap_err().to_string();
    assert!(refused.contains("write it into the when of an offer"), "{refused}");
}
