//! Facts on the wire: what a record of kind `fact` on ingestion's feed holds.

mod from_wire;
mod to_wire;

use perennial_types::{Fact, Fault, Kind};
use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

pub use from_wire::from_wire;
pub use to_wire::encode;

/// The kind of a feed record that holds a fact.
pub const KIND: &str = "fact";

/// The kind of a feed record that holds a fact as it is told anew, since its owner or what was known of them changed. A
/// reader of the feed passes it over; whoever reads a profile's facts gets it in place of the one of before.
pub const RETOLD: &str = "fact_retold";

/// Reads the payload of a feed record of kind [`KIND`].
///
/// # Errors
/// [`FactFault`] if it is not a fact, or one with a value this version cannot mean.
pub fn decode(payload: &[u8]) -> Result<Fact, FactFault> {
    from_wire(perennial_api::ingestion::v1::Fact::decode(payload)?)
}

/// A record that holds no fact we can read.
#[derive(Debug, thiserror::Error)]
pub enum FactFault {
    /// The bytes are not the message.
    #[error("the record is not a perennial.ingestion.v1.Fact")]
    Message(#[from] prost::DecodeError),
    /// A field holds what it cannot.
    #[error("the fact's {field} {problem}")]
    Field {
        /// The dotted path of the field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Fault for FactFault {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn reason(&self) -> &'static str {
        "FACT_UNREADABLE"
    }
}

/// What a fact is about, as far as its payload tells without being decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nothing that has a meaning of its own.
    Nothing,
    /// Traits set or unset.
    Traits,
    /// A product looked at.
    View,
    /// A cart or a checkout.
    Cart,
    /// What became of a message.
    Message,
    /// Consent given or withdrawn.
    Consent,
    /// An order placed, refunded or cancelled.
    Order,
}

/// What is seen of a fact without reading the rest of it: most facts do not concern most readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is about.
    pub about: About,
}

/// Looks at a record of kind [`KIND`]. `None` if the payload cannot be read; then [`decode`] says why.
#[must_use]
pub fn glance(payload: &[u8]) -> Option<Glance<'_>> {
    let mut seen = Glance { name: "", about: About::Nothing };
    let mut rest = payload;
    while rest.has_remaining() {
        let (field, wire) = decode_key(&mut rest).ok()?;
        if wire == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let value = rest.get(..length)?;
            rest = rest.get(length..)?;
            // The members of `meaning` in perennial.ingestion.v1.Fact.
            seen.about = match field {
                5 => About::Traits,
                6 => About::Consent,
                7 => About::View,
                8 | 9 => About::Cart,
                10..=12 => About::Order,
                13 => About::Message,
                _ => seen.about,
            };
            if field == 2 {
                seen.name = std::str::from_utf8(value).ok()?;
            }
            continue;
        }
        skip_field(wire, field, &mut rest, DecodeContext::default()).ok()?;
    }
    Some(seen)
}

/// What a record of kind [`KIND`] is about. `None` if the payload cannot be read; then [`decode`] says why.
#[must_use]
pub fn about(payload: &[u8]) -> Option<About> {
    glance(payload).map(|it| it.about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::{
        CartLine, Channel, ConsentChange, Currency, FactKind, MessageEvent, MessageReaction, OrderChange,
        OrderLine, OrderPlaced, OrderRefunded, Properties, Purpose, Scalar, from_micros,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    fn text() -> impl Strategy<Value = String> {
        ".{0,12}"
    }

    /// On the wire an empty text is an absent one.
    fn some_text() -> impl Strategy<Value = Option<String>> {
        prop::option::of(".{1,12}")
    }

    fn properties() -> impl Strategy<Value = Properties> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Scalar::Bool),
            any::<i64>().prop_map(Scalar::Int),
            prop::num::f64::NORMAL.prop_map(Scalar::Float),
            text().prop_map(Scalar::Text),
        ];
        prop::collection::btree_map(text(), scalar, 0..5)
    }

    fn order() -> impl Strategy<Value = OrderChange> {
        let line = (text(), some_text(), any::<i64>(), any::<i64>(), any::<Option<i64>>()).prop_map(
            |(product_id, category, quantity, price, cost)| OrderLine {
                product_id,
                category,
                quantity,
                price,
                cost,
            },
        );
        let placed = (
            text(),
            "[A-Z]{3}",
            any::<(i64, i64, i64)>(),
            0..=1_000_i64,
            some_text(),
            prop::collection::vec(line, 0..4),
        )
            .prop_map(|(order_id, currency, (revenue, discount, profit), known, coupon, lines)| {
                OrderPlaced {
                    order_id,
                    currency: Currency::parse(&currency).unwrap(),
                    revenue,
                    discount,
                    profit,
                    cost_known_per_mille: known,
                    coupon,
                    lines,
                }
            });
        prop_oneof![
            placed.prop_map(OrderChange::Placed),
            (text(), any::<Option<i64>>())
                .prop_map(|(order_id, amount)| OrderChange::Refunded(OrderRefunded { order_id, amount })),
            text().prop_map(OrderChange::Cancelled),
        ]
    }

    fn consent() -> impl Strategy<Value = ConsentChange> {
        let channel = prop::sample::select(vec![
            Channel::Email,
            Channel::Sms,
            Channel::Push,
            Channel::Webhook,
            Channel::OnSite,
        ]);
        let purpose =
            prop::sample::select(vec![Purpose::Compliance, Purpose::Transactional, Purpose::Marketing]);
        (channel, purpose, any::<bool>(), text()).prop_map(|(channel, purpose, granted, source)| {
            ConsentChange { channel, purpose, granted, source }
        })
    }

    fn reaction() -> impl Strategy<Value = MessageReaction> {
        let event = prop::sample::select(vec![
            MessageEvent::Delivered,
            MessageEvent::Opened,
            MessageEvent::Clicked,
            MessageEvent::Bounced,
            MessageEvent::Complained,
            MessageEvent::Unsubscribed,
        ]);
        (any::<u128>(), text(), text(), event).prop_map(|(decision, campaign, step, event)| MessageReaction {
            decision_id: Uuid::from_u128(decision),
            campaign,
            step,
            event,
        })
    }

    fn fact() -> impl Strategy<Value = Fact> {
        let line = (text(), some_text(), any::<i64>(), any::<i64>())
            .prop_map(|(product_id, name, quantity, price)| CartLine { product_id, name, quantity, price });
        let kind = prop_oneof![
            Just(FactKind::Tracked),
            (properties(), prop::collection::vec(text(), 0..3))
                .prop_map(|(set, unset)| FactKind::Traits { set, unset }),
            consent().prop_map(FactKind::Consent),
            text().prop_map(|product_id| FactKind::ProductViewed { product_id }),
            (text(), prop::collection::vec(line, 0..3))
                .prop_map(|(cart_id, lines)| FactKind::CartChanged { cart_id, lines }),
            some_text().prop_map(|checkout_id| FactKind::CheckoutStarted { checkout_id }),
            order().prop_map(FactKind::Order),
            reaction().prop_map(FactKind::Message),
        ];
        let at = -62_135_596_800_000_000_i64..253_402_207_200_000_000;
        (any::<u128>(), text(), at, properties(), kind).prop_map(|(id, name, at, properties, kind)| Fact {
            id: Uuid::from_u128(id),
            name,
            at: from_micros(at),
            properties,
            kind,
        })
    }

    proptest! {
        #[test]
        fn a_fact_comes_back_as_it_went(fact in fact()) {
            let payload = encode(&fact).encode_to_vec();
            let expected = match &fact.kind {
                FactKind::Tracked => About::Nothing,
                FactKind::Traits { .. } => About::Traits,
                FactKind::Consent(_) => About::Consent,
                FactKind::ProductViewed { .. } => About::View,
                FactKind::CartChanged { .. } | FactKind::CheckoutStarted { .. } => About::Cart,
                FactKind::Order(_) => About::Order,
                FactKind::Message(_) => About::Message,
            };
            prop_assert_eq!(glance(&payload), Some(Glance { name: &fact.name, about: expected }));
            prop_assert_eq!(decode(&payload).unwrap(), fact);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(decode(&bytes));
        }
    }

    #[test]
    fn an_unreadable_fact_names_its_field() {
        let mut wire = perennial_api::ingestion::v1::Fact { id: vec![1, 2, 3], ..Default::default() };
        assert_eq!(from_wire(wire.clone()).unwrap_err().to_string(), "the fact's id is 3 bytes long, not 16");
        wire.id = vec![0; 16];
        wire.properties = vec![perennial_api::ingestion::v1::Property { name: "x".to_owned(), value: None }];
        let refused = from_wire(wire).unwrap_err().to_string();
        assert!(refused.contains("properties") && refused.contains("\"x\""), "{refused}");
    }
}
