//! Product feeds in XML, as they are written for Google: the items of an RSS channel or the entries of an Atom feed, one
//! at a time.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, bail};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};

use super::source::{Content, Guard, Record};

/// The namespace of a product's attributes; its elements usually begin with `g:`.
const NAMESPACE: &str = "http://base.google.com/ns/1.0";

/// A feed being read.
pub struct Feed<R> {
    reader: Reader<Counted<R>>,
    guard: Guard,
    buffer: Vec<u8>,
    /// What elements of the namespace begin with.
    prefix: String,
}

/// An item while it is read.
#[derive(Default)]
struct Item {
    line: u64,
    /// What elements of the namespace say; it counts over what the others say.
    own: Map<String, Value>,
    others: Map<String, Value>,
    /// How deep within the item: 1 is within one of its elements.
    depth: usize,
    /// The element that is read, whether it is of the namespace, and what it said so far.
    name: String,
    is_own: bool,
    text: String,
    problem: Option<String>,
}

impl<R: Read> Feed<R> {
    /// A feed read from `text`; `guard` counts its bytes.
    pub fn new(text: R, guard: Guard) -> Self {
        let lines = Counted { text: BufReader::with_capacity(64 << 10, text), lines: 1 };
        Self { reader: Reader::from_reader(lines), guard, buffer: Vec::new(), prefix: "g".to_owned() }
    }

    /// The next item; nothing at the end.
    ///
    /// # Errors
    /// If the feed is no XML from here on.
    pub fn next(&mut self) -> anyhow::Result<Option<Record>> {
        let mut item: Option<Item> = None;
        self.guard.begin();
        loop {
            self.buffer.clear();
            let line = self.reader.get_ref().lines;
            let broken = || format!("the feed is no XML from line {line} on: have it written anew");
            let event = self.reader.read_event_into(&mut self.buffer).with_context(broken)?;
            match (event, &mut item) {
                (Event::Start(start), None) => {
                    if matches!(start.local_name().as_ref(), "item" | "entry") {
                        item = Some(Item { line, ..Item::default() });
                    } else if let Some(prefix) = prefix(&start) {
                        self.prefix = prefix;
                    }
                    // What stands before the first item is no part of it.
                    self.guard.begin();
                }
                (Event::Start(start), Some(item)) => item.open(&start, &self.prefix),
                (Event::Empty(start), Some(item)) => {
                    item.open(&start, &self.prefix);
                    item.close();
                }
                (Event::Text(text), Some(item)) => item.say(&text.xml10_content()),
                (Event::CData(text), Some(item)) => item.say(&text.xml10_content()),
                (Event::GeneralRef(name), Some(item)) => item.name(&name),
                (Event::End(_), Some(open)) if open.depth == 0 => {
                    return Ok(item.map(Item::record));
                }
                (Event::End(_), Some(item)) => item.close(),
                (Event::Eof, None) => return Ok(None),
                (Event::Eof, Some(item)) => {
                    bail!("the feed ends within the item that begins on line {}: fetch it again", item.line)
                }
                _ => {}
            }
        }
    }
}

/// What elements of the namespace begin with, if an element says so.
fn prefix(start: &BytesStart<'_>) -> Option<String> {
    let mut attributes = start.attributes().flatten();
    let declared = attributes.find(|it| &*it.value == NAMESPACE)?;
    declared.key.as_ref().strip_prefix("xmlns:").map(str::to_owned)
}

impl Item {
    /// An element begins. Those of the namespace go by their bare name.
    fn open(&mut self, start: &BytesStart<'_>, namespace: &str) {
        self.depth += 1;
        if self.depth > 1 {
            return;
        }
        let name = start.name();
        let bare = name.as_ref().split_once(':').filter(|(prefix, _)| *prefix == namespace);
        self.is_own = bare.is_some();
        bare.map_or(name.as_ref(), |(_, bare)| bare).clone_into(&mut self.name);
        self.text.clear();
        // Atom puts addresses into an attribute; a link to anything but the page says what it is.
        let mut attributes = start.attributes().flatten();
        if let Some(link) = attributes.find(|it| it.key.as_ref() == "href") {
            self.text.push_str(&link.value.replace("&amp;", "&"));
        }
    }

    fn say(&mut self, text: &str) {
        if self.depth == 1 {
            self.text.push_str(text);
        }
    }

    /// A name that stands for a character.
    fn name(&mut self, name: &BytesRef<'_>) {
        let known = match name.xml10_content().as_ref() {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => name.resolve_char_ref().ok().flatten(),
        };
        match known {
            Some(letter) => self.say(letter.encode_utf8(&mut [0; 4])),
            None => {
                let name = super::value::short(&name.xml10_content());
                self.problem =
                    Some(format!("&{name}; stands for nothing in XML: write the character itself"));
            }
        }
    }

    /// An element ends.
    fn close(&mut self) {
        self.depth -= 1;
        let text = self.text.trim();
        if self.depth == 0 && !text.is_empty() {
            // Of an element that comes more than once, the first counts.
            let fields = if self.is_own { &mut self.own } else { &mut self.others };
            fields.entry(&self.name).or_insert_with(|| text.to_owned().into());
        }
    }

    fn record(self) -> Record {
        let mut fields = self.others;
        fields.extend(self.own);
        let raw = vec![Value::Object(fields.clone()).to_string()];
        let content = match self.problem {
            Some(problem) => Err(problem),
            None => Ok(Content::Object(fields)),
        };
        Record { line: self.line, content, raw }
    }
}

/// Counts lines as they are read.
struct Counted<R> {
    text: BufReader<R>,
    lines: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.text.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let ends = self.text.buffer().iter().take(amount).filter(|it| **it == b'\n').count();
        self.lines += u64::try_from(ends).unwrap_or_default();
        self.text.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> anyhow::Result<Vec<Record>> {
        let mut feed = Feed::new(text, Guard::default());
        std::iter::from_fn(|| feed.next().transpose()).collect()
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "<rss>", "</rss>", "<item>", "</item>", "<entry>", "<g:id>", "</g:id>", "<a/>", "<link href='&x;'/>",
                    "&amp;", "&#0;", "&#x41;", "&b;", "<![CDATA[", "]]>", "<!--", "-->", "<?xml?>", "<!DOCTYPE a [", "xmlns:g='",
                ]).prop_map(str::to_owned),
                ".{0,6}",
            ],
            0..24,
        )) {
            drop(read(parts.concat().as_bytes()));
        }

        #[test]
        fn what_an_element_says_comes_through(text in "[^\u{0}-\u{1f}\u{fffe}\u{ffff}]{0,40}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace("]]>", "]]&gt;");
            let xml = format!("<rss><item><id>1</id><title>{escaped}</title></item></rss>");
            let records = read(xml.as_bytes()).unwrap();
            let Ok(Content::Object(fields)) = &records[0].content else { panic!("{records:?}") };
            let expected = text.trim();
            prop_assert_eq!(fields.get("title").and_then(Value::as_str).unwrap_or_default(), expected);
        }
    }
}
