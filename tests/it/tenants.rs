//! One workspace never sees another's data: every method of every service is called with another workspace's names,
//! and with another workspace's ids under one's own name. Generated from the protos, so a new method is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use perennial_api::access::v1::Scope;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::house::{House, Shape};

/// What only workspace `a` may ever read: its people, its words.
const SECRETS: [&str; 4] = ["anna.secret", "secret-segment", "secret-product", "secret key"];

/// Bytes in, bytes out: the messages are made here, by their descriptors.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}

/// The server, as the holder of one key meets it.
struct Client {
    channel: Channel,
    key: String,
}

impl Client {
    async fn call(&self, method: &MethodDescriptor, message: &DynamicMessage) -> Result<Vec<u8>, Status> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = http::uri::PathAndQuery::from_str(&path).unwrap();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let bearer = MetadataValue::try_from(format!("Bearer {}", self.key)).unwrap();
        // Streams are the general case: one message in, all answers out.
        let mut request = Request::new(tokio_stream::iter([message.encode_to_vec()]));
        request.metadata_mut().insert("authorization", bearer);
        let mut answers = client.streaming(request, path, Plain).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await? {
            all.extend(answer);
        }
        Ok(all)
    }
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(perennial_api::DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|it| it.full_name().starts_with("perennial."));
    ours.flat_map(|it| it.methods().collect::<Vec<_>>()).collect()
}

fn scope(method: &MethodDescriptor) -> Scope {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    perennial_api::scope(&path).unwrap()
}

/// The form of the resource name that a field holds, as its comment says: `workspaces/{workspace}/segments/{segment}`.
fn form(field: &FieldDescriptor) -> Option<Vec<String>> {
    if field.kind() != Kind::String {
        return None;
    }
    let file = field.parent_file();
    let places = &file.file_descriptor_proto().source_code_info.as_ref()?.location;
    let place = places.iter().find(|it| it.path == field.path())?;
    let comment = place.leading_comments();
    let begin = comment.find("`workspaces/{workspace}")? + 1;
    let end = begin + comment[begin..].find('`')?;
    Some(comment[begin..end].split('/').map(str::to_owned).collect())
}

/// Whose names a request holds, and which ids stand in them.
struct Names<'a> {
    workspace: &'a str,
    ids: &'a BTreeMap<String, String>,
}

impl Names<'_> {
    fn name(&self, form: &[String]) -> String {
        let mut parts = vec!["workspaces".to_owned(), self.workspace.to_owned()];
        if let Some(collection) = form.get(2) {
            parts.push(collection.clone());
            parts.extend(form.get(3).map(|id| {
                let known = self.ids.get(collection).cloned();
                let unknown = || "0198f3a2-7c1e-7abc-8def-001122334455".to_owned();
                if id.starts_with('{') { known.unwrap_or_else(unknown) } else { id.clone() }
            }));
        }
        parts.join("/")
    }

    /// A request with every name filled in; whether there is one.
    fn fill(&self, descriptor: &MessageDescriptor, depth: usize) -> (DynamicMessage, bool) {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut any = false;
        for field in descriptor.fields().filter(|it| !it.is_map()) {
            let value = if let Some(form) = form(&field) {
                Some(Value::String(self.name(&form)))
            } else if let Kind::Message(inner) = field.kind()
                && depth > 0
                && inner.full_name().starts_with("perennial.")
            {
                let (inner, named) = self.fill(&inner, depth - 1);
                named.then_some(Value::Message(inner))
            } else {
                None
            };
            if let Some(value) = value {
                any = true;
                message.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
            }
        }
        (message, any)
    }
}

/// Every resource name of `workspace` in a message, by its collection.
fn names_in(message: &DynamicMessage, workspace: &str, found: &mut BTreeMap<String, String>) {
    fn walk(value: &Value, prefix: &str, found: &mut BTreeMap<String, String>) {
        match value {
            Value::String(text) => {
                let id = text.strip_prefix(prefix).and_then(|it| it.split_once('/'));
                if let Some((collection, id)) = id.filter(|(_, id)| !id.contains('/')) {
                    found.entry(collection.to_owned()).or_insert_with(|| id.to_owned());
                }
            }
            Value::Message(inner) => inner.fields().for_each(|(_, it)| walk(it, prefix, found)),
            Value::List(items) => items.iter().for_each(|it| walk(it, prefix, found)),
            _ => {}
        }
    }
    walk(&Value::Message(message.clone()), &format!("workspaces/{workspace}/"), found);
}

/// The stable reason of an error, if it has one.
fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_error_details().error_info().map(|it| it.reason.clone()).unwrap_or_default()
}

/// Workspace `a` with something of everything; gives the keys of `a` and `b`.
fn furnish(house: &House) -> String {
    let a = |arguments: &[&str]| house.ask(&[&["--workspace", "a"], arguments].concat());
    let key = a(&["keys", "create", "secret key", "-o", "json"])["key"].as_str().unwrap().to_owned();
    a(&["keys", "create", "secret key", "--scope", "read", "-o", "json"]);
    let people = (0..40).map(|n| {
        serde_json::json!({
            "type": "identify", "userId": format!("anna.secret.{n}"),
            "messageId": format!("i{n}"), "timestamp": "2026-01-01T00:00:00Z",
            "traits": {"email": format!("anna.secret.{n}@example.com"), "email_consent": true},
        })
    });
    let orders = (0..120).map(|n| {
        serde_json::json!({
            "type": "track", "event": "Order Completed", "userId": format!("anna.secret.{}", n % 40),
            "messageId": format!("o{n}"),
            "timestamp": format!("2026-0{}-{:02}T00:00:00Z", 1 + n / 28 % 6, 1 + n % 28),
            "properties": {"order_id": format!("secret-order-{n}"), "revenue": 20 + n, "currency": "EUR"},
        })
    });
    let broken = std::iter::once(serde_json::json!({
        "type": "track", "userId": "anna.secret.0", "messageId": "broken", "properties": {},
    }));
    let batch: Vec<_> = people.chain(orders).chain(broken).collect();
    assert!(house.post(&key, &serde_json::json!({ "batch": batch }).to_string()));

    let files = house.folder.path().join("tenant");
    std::fs::create_dir_all(&files).unwrap();
    let write = |name: &str, text: &str| {
        let path = files.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let products = write("products.csv", "id,title,price,currency\np1,secret-product,10.00,EUR\n");
    a(&["import", "catalog", &products]);
    let segment = write("segment.yaml", "kind: Segment\nname: secret-segment\nrule: orders > 0\n");
    a(&["apply", "-f", &segment]);
    a(&["apply", "-f", "playbook:welcome", "-f", "playbook:at-risk-save", "--live"]);
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_shows_or_changes_anything_of_another_workspace() {
    let house = House::new(Shape::One, &[("server.token", "\"operators-token\"")]);
    let _servers = house.serve_all();
    furnish(&house);
    let b = house.ask(&["--workspace", "b", "keys", "create", "--scope", "admin", "-o", "json"]);
    let channel =
        Channel::from_shared(format!("http://{}", house.place("ingestion").grpc)).unwrap().connect_lazy();
    let operator = Client { channel: channel.clone(), key: "operators-token".to_owned() };
    let foreign = Client { channel, key: b["key"].as_str().unwrap().to_owned() };

    // What there is in `a`, by the operator's lists.
    let mut ids = BTreeMap::new();
    for method in methods().iter().filter(|it| it.name().starts_with("List")) {
        let (request, _) = Names { workspace: "a", ids: &BTreeMap::new() }.fill(&method.input(), 0);
        if let Ok(answer) = operator.call(method, &request).await {
            names_in(&DynamicMessage::decode(method.output(), &*answer).unwrap(), "a", &mut ids);
        }
    }
    for needed in ["profiles", "segments", "campaigns", "templates", "products", "writeKeys", "apiKeys"] {
        assert!(ids.contains_key(needed), "workspace a has no {needed}: {ids:?}");
    }
    let before = house.ask(&["--workspace", "a", "status", "-o", "json"]);

    let mut asked = BTreeSet::new();
    for method in methods().iter().filter(|it| scope(it) != Scope::Service) {
        // Names of the other workspace: they do not exist, whatever else may be wrong with the request.
        let (request, any) = Names { workspace: "a", ids: &ids }.fill(&method.input(), 3);
        assert!(any, "{}: no field says in its comment which workspace it is about", method.full_name());
        match foreign.call(method, &request).await {
            Ok(_) => panic!("{} answered with another workspace's names", method.full_name()),
            Err(status) => assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::NotFound, "WORKSPACE_NOT_FOUND"),
                "{}: {status}",
                method.full_name()
            ),
        }
        // The other's ids under one's own name: what is found, if anything, holds nothing of the other's.
        let (request, _) = Names { workspace: "b", ids: &ids }.fill(&method.input(), 3);
        if let Ok(answer) = foreign.call(method, &request).await {
            let text = String::from_utf8_lossy(&answer);
            let seen = SECRETS.iter().find(|it| text.contains(**it));
            assert_eq!(seen, None, "{} shows what is another's", method.full_name());
        }
        asked.insert(method.full_name().to_owned());
    }
    assert!(asked.len() > 60, "the protos have more methods than {}", asked.len());
    let after = house.ask(&["--workspace", "a", "status", "-o", "json"]);
    assert_eq!(before, after, "a key of b changed something of a");
}
