use super::*;
use proptest::prelude::*;

const KEY: (Channel, Purpose) = (Channel::Email, Purpose::Marketing);

fn said(word: Word, source: &str) -> Said {
    Said { word, ..Said::plain(KEY.0, KEY.1, true, source) }
}

fn told(agreement: &mut Agreement, basis: Basis) -> Option<bool> {
    agreement.news(KEY, basis, "DE", from_micros(0)).map(|it| it.1.granted)
}

#[test]
fn a_yes_that_has_to_be_confirmed_counts_when_it_is() {
    let mut it = Agreement::default();
    it.say(&said(Word::Yes, "form"), 10, Basis::DoubleOptIn);
    assert_eq!(told(&mut it, Basis::DoubleOptIn), None);
    let waiting = it.in_force(Basis::DoubleOptIn).unwrap();
    assert_eq!((waiting.granted, waiting.asked), (false, Some(10)));
    it.say(&said(Word::Confirmed, "mail"), 20, Basis::DoubleOptIn);
    assert_eq!(told(&mut it, Basis::DoubleOptIn), Some(true));
    let confirmed = it.in_force(Basis::DoubleOptIn).unwrap();
    assert_eq!((confirmed.by.unwrap().source.as_str(), confirmed.asked), ("mail", None));
    it.say(&said(Word::No, "one-click"), 30, Basis::DoubleOptIn);
    assert_eq!(told(&mut it, Basis::DoubleOptIn), Some(false));
    it.say(&said(Word::Yes, "form"), 40, Basis::DoubleOptIn);
    assert_eq!(told(&mut it, Basis::DoubleOptIn), None, "again it has to be confirmed");
}

#[test]
fn what_is_presumed_ends_with_a_no_and_where_nothing_is_presumed() {
    let mut it = Agreement::default();
    let (_, news) = it.news(KEY, Basis::Presumed, "US", from_micros(0)).unwrap();
    assert_eq!((news.granted, news.source.as_str()), (true, "default:US"));
    assert_eq!(told(&mut it, Basis::Presumed), None);
    assert_eq!(told(&mut it, Basis::Explicit), Some(false), "the person moved");
    assert_eq!(told(&mut it, Basis::Presumed), Some(true));
    it.say(&said(Word::No, "one-click"), 5, Basis::Presumed);
    assert_eq!(told(&mut it, Basis::Presumed), Some(false));
}

#[test]
fn what_was_kept_before_is_read() {
    let mut it: Agreement = serde_json::from_str(r#"{"g":true,"s":"identify","a":7}"#).unwrap();
    let now = it.in_force(Basis::Explicit).unwrap();
    assert_eq!((now.granted, now.by.unwrap().at), (true, 7));
    assert_eq!(told(&mut it, Basis::Explicit), None, "others heard that");
    let kept = serde_json::to_string(&it).unwrap();
    assert_eq!(serde_json::from_str::<Agreement>(&kept).unwrap(), it);
}

fn statements() -> impl Strategy<Value = Vec<(Word, i64, &'static str)>> {
    let word = prop::sample::select(vec![Word::Yes, Word::Confirmed, Word::No]);
    let source = prop::sample::select(vec!["form", "mail", "import"]);
    prop::collection::vec((word, 0..8_i64, source), 0..12)
}

proptest! {
    #[test]
    fn statements_in_any_order_and_twice_and_of_two_profiles_come_to_the_same(
        statements in statements(),
        keys in prop::collection::vec(any::<u64>(), 24),
        double in any::<bool>(),
    ) {
        let basis = if double { Basis::DoubleOptIn } else { Basis::Explicit };
        let mut sorted = statements.clone();
        sorted.sort_by_key(|(_, at, _)| *at);
        let mut straight = Agreement::default();
        for (word, at, source) in &sorted { straight.say(&said(*word, source), *at, basis); }
        let mut shuffled: Vec<_> = statements.iter().chain(&statements).zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let (mut one, mut other) = (Agreement::default(), Agreement::default());
        for ((word, at, source), key) in shuffled {
            let place = if key % 2 == 0 { &mut one } else { &mut other };
            place.say(&said(*word, source), *at, basis);
        }
        one.merge(other);
        prop_assert_eq!(one.in_force(basis), straight.in_force(basis));
    }
}
