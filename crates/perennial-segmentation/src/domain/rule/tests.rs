use perennial_types::Currency;
use proptest::prelude::*;

use super::*;

pub fn vocabulary() -> Vocabulary {
    Vocabulary {
        events: KnownEvents::with_seen(["Podcast Played".to_owned()]),
        any_event: false,
        currency: Currency::EUR,
        segments: ["vip".to_owned()].into(),
        stages: ["lapsed", "at_risk", "loyal", "lead"].map(str::to_owned).to_vec(),
    }
}

fn refusal(rule: &str) -> String {
    check(rule, &vocabulary()).expect_err(rule).to_string()
}

#[test]
fn every_documented_form_is_accepted() {
    for rule in [
        r#"clv.percentile >= 0.8 && overdue && reachable("email") && !did("Support Ticket Opened", "14d")"#,
        r#"count("Order Completed", "30d") >= 2 && sum("Order Completed", "profit", "365d") > money("100.00") && !did("Email Opened", "14d")"#,
        r#"consent("email", "marketing") && orders >= 1"#,
        r#"count("Product Viewed", "7d", it.category == "shoes") >= 3"#,
        r#"sum("Podcast Played", "minutes", "4w", has(it.minutes) && it.minutes > 3) / 2 > 10.5"#,
        r#"stage == "at_risk" || stage in ["lead", "loyal"]"#,
        r#"last_order < ago("30d") || last_order >= timestamp("2026-01-31T00:00:00Z")"#,
        r#"traits.plan in ["pro", "team"] && traits.address.city.startsWith("San") && traits.vip"#,
        r#"!has(traits.plan) && traits.createdAt > ago("7d")"#,
        r#"rfm.recency >= 4 && rfm.frequency >= 4 && rfm.monetary == 5 && p_alive < 0.5"#,
        r#"profit / revenue > 0.3 && revenue * 0.5 > money("10") && identified && !lapsed && !reactivated"#,
        r#"in_segment("vip") && clv.expected_profit_90d > money("8.00") && clv.expected_profit_12m > money(-20)"#,
        "// what it is for\norders >= 2\n && true",
    ] {
        assert!(check(rule, &vocabulary()).is_ok(), "{}", refusal(rule));
    }
}

#[test]
fn an_error_points_into_the_rule_and_names_the_remedy() {
    let shown = refusal(r#"count("Order Complete", "30d") >= "2""#);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "rule does not type-check (line 1, column 7)");
    assert_eq!(lines[1], r#"| count("Order Complete", "30d") >= "2""#);
    assert_eq!(
        lines[2],
        r#"|       ^^^^^^^^^^^^^^^^ no such event in 63 known; did you mean "Order Completed"?"#
    );
}

#[test]
fn both_problems_of_a_comparison_are_shown() {
    let shown = refusal(r#"count("Order Completed", "30d") >= "2" && stage == "at_rsk""#);
    assert!(shown.contains(r#"^^^ count() is a number; "2" is text: write 2"#), "{shown}");
    assert!(shown.contains(r#"^^^^^^^^ no such stage; did you mean "at_risk"?"#), "{shown}");
}

#[test]
fn each_mistake_has_its_own_remedy() {
    for (rule, part) in [
        ("", "the rule is empty"),
        ("orders", "orders is a number, not a condition: compare it, such as orders >= 1"),
        ("revenue > 100", "revenue is money; 100 is a number: write money(\"100\")"),
        ("last_order < \"30d\"", "write ago(\"30d\")"),
        ("since(last_order) > duration(\"30d\")", "write last_order < ago(\"30d\")"),
        ("ordrs >= 1", "did you mean orders?"),
        ("cuont(\"Page\", \"1d\") > 1", "did you mean count()?"),
        ("count(\"Page\") > 1", "count() is written like count("),
        ("count(\"Page\", \"1x\") > 1", "is no length of time"),
        ("count(Page, \"1d\") > 1", "write it as text in quotes: \"Page\""),
        ("count(\"Page\", \"1d\", orders > 1) > 1", "a filter sees only"),
        ("it.category == \"shoes\"", "it is the event of a filter"),
        ("reachable(\"e-mail\")", "did you mean \"email\"?"),
        ("consent(\"email\", \"ads\")", "no such purpose"),
        ("in_segment(\"vipp\")", "did you mean \"vip\"?"),
        ("sum(\"Order Completed\", \"tax\", \"1d\") > money(\"1\")", "of orders there are"),
        ("money(\"12,5\") > revenue", "is not an amount"),
        ("orders > 1 ? overdue : lapsed", "no choices in a rule"),
        ("traits.tags.exists(t, t == \"a\")", "cannot be walked"),
        ("stage > \"lead\"", "use == or !="),
        ("orders >= 1 &&", "see the rule language"),
        ("orders >= 1 && && overdue", "see the rule language"),
        ("{\"a\": 1}", "maps and messages"),
        ("traits.plan == null", "has(traits.plan)"),
        ("count(\"Rocket Launched\", \"1d\") > 0", "send one first, or set allow_unknown_events"),
    ] {
        let shown = refusal(rule);
        assert!(shown.contains(part), "{rule}\n{shown}");
        assert!(shown.contains("\n| "), "{shown}");
    }
}

#[test]
fn carets_stand_under_the_part_in_any_script() {
    let shown = refusal("traits.größe == \"ü\"");
    assert!(shown.contains('^'), "{shown}");
    let shown = refusal("traits.city == \"Zürich\" && ordrs >= 1");
    let lines: Vec<_> = shown.lines().collect();
    let caret = lines[2].chars().position(|it| it == '^').unwrap();
    let word: String = lines[1].chars().skip(caret).take(5).collect();
    assert_eq!(word, "ordrs", "{shown}");
    let shown = refusal("orders >= 1\n  && ordrs >= 1");
    assert!(shown.contains("(line 2, column 6)") && shown.contains("|      ^^^^^ no such name"), "{shown}");
}

#[test]
fn a_long_line_is_shown_around_the_problem() {
    let shown =
        refusal(&format!("orders >= 1{} && ordrs >= 1{}", " && overdue".repeat(60), " && lapsed".repeat(60)));
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[1].chars().count() < 130 && lines[1].starts_with("| …") && lines[1].ends_with('…'),
        "{shown}"
    );
    let caret = lines[2].chars().position(|it| it == '^').unwrap();
    assert_eq!(lines[1].chars().skip(caret).take(5).collect::<String>(), "ordrs", "{shown}");
}

#[test]
fn sixteen_levels_are_accepted_and_twenty_refused_cleanly() {
    let nested = |n: usize| format!("{}overdue{}", "(".repeat(n), ")".repeat(n));
    assert!(check(&nested(16), &vocabulary()).is_ok());
    for depth in [17, 20, 1_000] {
        assert!(refusal(&nested(depth)).contains("nested more than 16 deep"));
    }
    assert!(refusal(&format!("overdue{}", " || overdue".repeat(500))).contains("at most 4096"));
    // Brackets in text and comments do not count.
    assert!(check(&format!("traits.a == \"{}\"", "(".repeat(40)), &vocabulary()).is_ok());
    let long = format!("orders > 1{}", " || overdue".repeat(300));
    assert!(check(&long, &vocabulary()).is_ok());
    let sum = format!("orders > 1{}", " + 1".repeat(900));
    assert!(refusal(&sum).contains("too long a chain"));
    for hard in
        ["!".repeat(4_000), "-".repeat(4_000), "1?".repeat(2_000), "[".repeat(4_000), "a.".repeat(2_000)]
    {
        refusal(&hard);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 256 }))]

    #[test]
    fn no_text_at_all_makes_the_checker_panic(text in "\\PC{0,200}") {
        let _ = check(&text, &vocabulary()).map_err(|it| it.to_string());
    }

    #[test]
    fn no_row_of_words_makes_the_checker_panic(words in prop::collection::vec(prop::sample::select(vec![
        "orders", "traits.plan", "it.x", "\"Page\"", "\"7d\"", "count(", "sum(", "did(", "money(", "ago(", "has(", "(", ")", "[",
        "]", ",", "&&", "||", "!", "-", "+", "*", "/", "%", "==", "<", ">=", "in", "1", "0.5", "true", "null", "stage", "?", ":",
        ".startsWith(", ".", "in_segment(", "\n", "//", "'", "\"", "consent(", "{", "}", "r\"", "b'", "1u", "€", "last_order",
    ]), 0..30)) {
        let text = words.join(" ");
        let _ = check(&text, &vocabulary()).map_err(|it| it.to_string());
    }
}
