//! One call of the Segment specification as it was sent: every field read leniently, none yet understood.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::clock::{Told, instant};
use super::flat::{Flat, is_empty_list};
use super::problem::{Problem, shortened};

/// The longest message id, in characters (the specification's limit).
const MESSAGE_ID: usize = 100;
/// The longest identifier or name, in characters.
const NAME: usize = 512;

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Something happened.
    Track,
    /// Who somebody is.
    Identify,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Somebody belongs to a group.
    Group,
    /// Two ids are one person.
    Alias,
}

impl CallKind {
    /// Reads the word of `type`, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "track" => Self::Track,
            "identify" => Self::Identify,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "group" => Self::Group,
            "alias" => Self::Alias,
            _ => return None,
        })
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// What the items of a batch share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared<'a> {
    /// The batch's context: its keys count where an item does not have them.
    pub context: Option<&'a RawValue>,
    /// When the batch was sent.
    pub sent: Option<&'a RawValue>,
    /// The time of items that give none.
    pub timestamp: Option<&'a RawValue>,
    /// How often the request was tried before.
    pub retries: u32,
}

/// One call.
#[derive(Debug)]
pub struct Call<'a> {
    /// What kind it is.
    pub kind: CallKind,
    /// Its idempotency key, if it has one.
    pub message_id: Option<String>,
    /// The shop's id of the customer.
    pub user_id: Option<String>,
    /// The browser's or device's id.
    pub anonymous_id: Option<String>,
    /// The former id, for alias.
    pub previous_id: Option<String>,
    /// The group, for group.
    pub group_id: Option<String>,
    /// The profile by our own id, where a service of ours reports about it.
    pub profile: Option<String>,
    /// The event's name, for track.
    pub event: Option<String>,
    /// The name, for page and screen.
    pub name: Option<String>,
    /// The category, for page and screen.
    pub category: Option<String>,
    /// Properties, or the traits of identify and group.
    pub properties: Flat,
    /// The properties as sent.
    pub raw_properties: Option<&'a RawValue>,
    /// What surrounds it.
    pub context: Context<'a>,
    /// When it happened, as told.
    pub told: Told,
}

/// The parts of `context` that mean something to us.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Context<'a> {
    /// IANA time zone of the device.
    #[serde(borrow)]
    pub timezone: Option<&'a RawValue>,
    /// BCP 47 locale of the device.
    #[serde(borrow)]
    pub locale: Option<&'a RawValue>,
    /// `{categoryPreferences: {…}}`.
    #[serde(borrow)]
    pub consent: Option<&'a RawValue>,
    /// Traits known to the sender.
    #[serde(borrow)]
    pub traits: Option<&'a RawValue>,
    /// `[{id, type}]`.
    #[serde(borrow, rename = "externalIds")]
    pub external_ids: Option<&'a RawValue>,
    /// Where the visit came from.
    #[serde(borrow)]
    pub campaign: Option<&'a RawValue>,
    /// False: not a sign of life.
    #[serde(borrow)]
    pub active: Option<&'a RawValue>,
    /// `{country}`, where the device is.
    #[serde(borrow)]
    pub location: Option<&'a RawValue>,
    /// The group the person acts for.
    #[serde(borrow, rename = "groupId")]
    pub group_id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    anonymous_id: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_id: Option<&'a RawValue>,
    #[serde(borrow)]
    group_id: Option<&'a RawValue>,
    #[serde(borrow)]
    profile: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    category: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    traits: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    original_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
}

/// What can be said about a call even when it cannot be read: for the list of rejected events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The message id, if it is one.
    pub message_id: Option<String>,
    /// The event's name, or else the kind of call.
    pub name: String,
}

impl Label {
    /// Reads what can be read of `json`.
    pub fn of(kind: Option<CallKind>, json: &str) -> Self {
        let sent: Sent<'_> = serde_json::from_str(json).unwrap_or_default();
        let word = |raw| text("", raw, NAME).ok().flatten();
        let kind = kind.map(|it| it.as_str().to_owned()).or_else(|| word(sent.kind));
        Self {
            message_id: text("", sent.message_id, MESSAGE_ID).ok().flatten(),
            name: shortened(&word(sent.event).or(kind).unwrap_or_default(), 120),
        }
    }
}

impl<'a> Call<'a> {
    /// Reads one call. `kind` is known from the path it was sent to, or else from its `type`.
    ///
    /// # Errors
    /// The first problem found.
    pub fn parse(kind: Option<CallKind>, json: &'a str, shared: &Shared<'a>) -> Result<Self, Problem> {
        // The derived reader would take a list for the fields in their order.
        if !json.trim_start().starts_with('{') {
            let quoted = shortened(json, 40);
            return Err(Problem::new("event", format!("{quoted} is not an object"), "send one JSON object"));
        }
        let sent: Sent<'a> = serde_json::from_str(json).map_err(|error| {
            Problem::new("event", format!("it cannot be read ({error})"), "send one JSON object")
        })?;
        let kind = match kind {
            Some(kind) => kind,
            None => read_kind(text("type", sent.kind, NAME)?)?,
        };
        let (field, raw_properties) = match kind {
            CallKind::Identify | CallKind::Group => ("traits", sent.traits.or(sent.properties)),
            _ => ("properties", sent.properties),
        };
        let context = context(sent.context, shared.context)?;
        let mut properties = object(field, raw_properties)?;
        if kind == CallKind::Identify
            && let Some(told) = context.traits.and_then(|it| Flat::parse(it.get()).ok())
        {
            // Some libraries tell traits here only; those of the call itself count first.
            properties.add(told);
        }
        let group_id = text("groupId", sent.group_id, NAME)?;
        Ok(Self {
            kind,
            message_id: text("messageId", sent.message_id, MESSAGE_ID)?,
            user_id: text("userId", sent.user_id, NAME)?,
            anonymous_id: text("anonymousId", sent.anonymous_id, NAME)?,
            previous_id: text("previousId", sent.previous_id, NAME)?,
            group_id: match group_id {
                None => text("context.groupId", context.group_id, NAME)?,
                told => told,
            },
            profile: text("profile", sent.profile, NAME)?,
            event: text("event", sent.event, NAME)?,
            name: text("name", sent.name, NAME)?,
            category: text("category", sent.category, NAME)?,
            properties,
            raw_properties,
            context,
            told: Told {
                timestamp: instant(
                    "timestamp",
                    sent.timestamp.or(if sent.original_timestamp.is_none() {
                        shared.timestamp
                    } else {
                        None
                    }),
                )?,
                original: instant("originalTimestamp", sent.original_timestamp)?,
                // It only helps to correct clocks: one that cannot be read corrects nothing.
                sent: instant("sentAt", sent.sent_at.or(shared.sent)).unwrap_or_default(),
                retries: shared.retries,
            },
        })
    }
}

fn read_kind(word: Option<String>) -> Result<CallKind, Problem> {
    let remedy = "use track, identify, page, screen, group or alias";
    let word = word.ok_or_else(|| Problem::new("type", "it is missing", remedy))?;
    CallKind::parse(&word).ok_or_else(|| {
        Problem::new("type", format!("{:?} is not a kind of call", shortened(&word, 40)), remedy)
    })
}

fn context<'a>(own: Option<&'a RawValue>, shared: Option<&'a RawValue>) -> Result<Context<'a>, Problem> {
    let read = |raw: Option<&'a RawValue>| -> Result<Context<'a>, Problem> {
        raw.map_or_else(
            || Ok(Context::default()),
            |raw| {
                if is_empty_list(raw.get()) {
                    return Ok(Context::default());
                }
                let read =
                    if raw.get().starts_with('{') { serde_json::from_str(raw.get()).ok() } else { None };
                read.ok_or_else(|| {
                    Problem::new("context", "it is not an object", "send an object, or leave it out")
                })
            },
        )
    };
    let (own, shared) = (read(own)?, read(shared)?);
    Ok(Context {
        timezone: own.timezone.or(shared.timezone),
        locale: own.locale.or(shared.locale),
        consent: own.consent.or(shared.consent),
        traits: own.traits.or(shared.traits),
        external_ids: own.external_ids.or(shared.external_ids),
        campaign: own.campaign.or(shared.campaign),
        active: own.active.or(shared.active),
        location: own.location.or(shared.location),
        group_id: own.group_id.or(shared.group_id),
    })
}

/// Reads text; numbers and booleans are written out, null and blank text are none.
///
/// # Errors
/// The problem with `field`, if it is an object or list, or longer than `most` characters.
pub fn text(field: &str, raw: Option<&RawValue>, most: usize) -> Result<Option<String>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let json = raw.get().trim();
    let text = match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(json)
            .map_err(|error| Problem::new(field, format!("it cannot be read ({error})"), "send text"))?,
        Some(b'{' | b'[') => {
            return Err(Problem::new(field, "it is an object or a list", "send text"));
        }
        _ => json.to_owned(),
    };
    let text = if text.contains('\0') { text.replace('\0', "") } else { text };
    let text = text.trim();
    if text.chars().count() > most {
        return Err(Problem::new(field, format!("it has more than {most} characters"), "shorten it"));
    }
    Ok(if text.is_empty() { None } else { Some(text.to_owned()) })
}

/// Reads an object's scalars; absent is empty.
///
/// # Errors
/// The problem with `field`, if it is anything else.
pub fn object(field: &str, raw: Option<&RawValue>) -> Result<Flat, Problem> {
    raw.map_or_else(
        || Ok(Flat::default()),
        |raw| {
            Flat::parse(raw.get()).map_err(|_| {
                let quoted = shortened(raw.get(), 40);
                Problem::new(field, format!("{quoted} is not an object"), "send an object, or leave it out")
            })
        },
    )
}
