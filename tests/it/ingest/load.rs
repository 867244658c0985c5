//! The load: a shop's events, and senders over HTTP and gRPC that count how long each acknowledgement took.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use perennial_api::ingestion::v1::event_outcome::Result as Taken;
use perennial_api::ingestion::v1::{
    Event, IngestEventsRequest, IngestEventsResponse, IngestStreamRequest, StreamEventsRequest,
};
use perennial_rpc::structs;
use perennial_types::hash_draw;
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;

use crate::house::House;

/// Senders at a time.
pub const SENDERS: usize = 16;

/// People the events are about.
const PEOPLE: f64 = 20_000.0;

/// How events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `POST /v1/batch`, a connection a sender.
    Http,
    /// `IngestEvents`, one call a batch.
    Unary,
    /// `StreamEvents`: each batch is answered before the next is read.
    Stream,
    /// `IngestStream`: one answer at the end.
    ClientStream,
}

/// What sending came to.
pub struct Sent {
    /// When the first byte was sent: all of it had been made by then.
    pub began: Instant,
    /// How long it took.
    pub seconds: f64,
    /// How long each acknowledgement took, in milliseconds, in order of length.
    pub acks: Vec<f64>,
}

impl Sent {
    /// The acknowledgement that `share` of all were no slower than; none if there was only one.
    pub fn ack(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = (self.acks.len() as f64 * share) as usize;
        self.acks.get(place.min(self.acks.len().saturating_sub(1))).copied()
    }
}

/// Events of one measurement, which no other has: `series` tells them apart.
pub struct Load {
    pub series: String,
    pub batch: usize,
    pub batches: usize,
}

impl Load {
    pub fn events(&self) -> usize {
        self.batch * self.batches
    }

    /// One event in 20 is an order, one tells who somebody is, two fill carts; the others look at products.
    fn item(&self, n: usize) -> Value {
        let id = format!("{}-{n}", self.series);
        let user = format!("user-{}", (hash_draw("person", &id) * PEOPLE) as u32);
        let (product, kind) = (n % 500, (hash_draw("kind", &id) * 20.0) as u32);
        let said = match kind {
            0 => json!({
                "order_id": id, "revenue": "39.98", "currency": "EUR",
                "products": [{ "product_id": format!("p{product}"), "category": "things", "quantity": 2, "price": "19.99" }],
            }),
            1 => json!({ "email": format!("{user}@shop.example"), "first_name": "Ana", "plan": "club" }),
            _ => json!({
                "product_id": format!("p{product}"), "name": "A thing", "price": 19.99, "currency": "EUR",
                "category": "things", "brand": "Acme", "position": 3, "url": "https://shop.example/p",
            }),
        };
        let (kind, event, said_as) = match kind {
            0 => ("track", "Order Completed", "properties"),
            1 => ("identify", "", "traits"),
            2 | 3 => ("track", "Product Added", "properties"),
            _ => ("track", "Product Viewed", "properties"),
        };
        json!({
            "type": kind, "event": event, "messageId": format!("message-{id}"), "userId": user, said_as: said,
            "context": {
                "locale": "de-DE", "timezone": "Europe/Berlin", "ip": "203.0.113.9",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64)", "library": { "name": "bench", "version": "1.0" },
                "page": { "path": "/p", "url": "https://shop.example/p", "title": "A thing" },
            },
        })
    }

    fn items(&self, batch: usize) -> impl Iterator<Item = Value> {
        (batch * self.batch..(batch + 1) * self.batch).map(|it| self.item(it))
    }

    fn body(&self, batch: usize) -> String {
        json!({ "batch": self.items(batch).collect::<Vec<_>>() }).to_string()
    }

    /// Orders among them.
    pub fn orders(&self) -> usize {
        let is_order = |n: &usize| hash_draw("kind", &format!("{}-{n}", self.series)) * 20.0 < 1.0;
        (0..self.events()).filter(is_order).count()
    }

    fn messages(&self, batch: usize) -> Vec<Event> {
        let message = |it: Value| {
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            let part = |it: &Value| it.as_object().cloned().map(structs::from_json);
            Event {
                message_id: text("messageId"),
                r#type: text("type"),
                user_id: text("userId"),
                event: text("event"),
                properties: part(&it["properties"]).or_else(|| part(&it["traits"])),
                context: part(&it["context"]),
                ..Event::default()
            }
        };
        self.items(batch).map(message).collect()
    }

    /// Sends all of it; where `rate` says so, no more than so many events a second.
    pub fn send(&self, way: Way, house: &House, key: &str, rate: Option<f64>) -> Sent {
        let place = house.place("ingestion");
        match way {
            Way::Http => self.over_http(place.http, key, rate),
            _ => self.over_grpc(way, house),
        }
    }

    fn over_http(&self, to: SocketAddr, key: &str, rate: Option<f64>) -> Sent {
        let bodies: Vec<String> = (0..self.batches).map(|it| self.body(it)).collect();
        let pause = rate.map(|it| Duration::from_secs_f64(self.batch as f64 * SENDERS as f64 / it));
        let began = Instant::now();
        let sender = |sender: usize| {
            let mut connection = Connection::open(to, key);
            let mut acks = Vec::new();
            for (n, body) in bodies.iter().skip(sender).step_by(SENDERS).enumerate() {
                if let Some(pause) = pause {
                    // Evenly, each sender a little after the one before it.
                    let turn = n as f64 + sender as f64 / SENDERS as f64;
                    std::thread::sleep(
                        (began + pause.mul_f64(turn)).saturating_duration_since(Instant::now()),
                    );
                }
                let asked = Instant::now();
                connection.post(body);
                acks.push(asked.elapsed().as_secs_f64() * 1_000.0);
            }
            acks
        };
        let acks = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS).map(|it| scope.spawn(move || sender(it))).collect();
            senders.into_iter().flat_map(|it| it.join().unwrap()).collect()
        });
        finished(began, acks)
    }

    fn over_grpc(&self, way: Way, house: &House) -> Sent {
        let batches: Vec<Vec<Event>> = (0..self.batches).map(|it| self.messages(it)).collect();
        let share = |sender: usize| {
            batches.iter().skip(sender).step_by(SENDERS).cloned().collect::<Vec<Vec<Event>>>()
        };
        let shares: Vec<Vec<Vec<Event>>> = (0..SENDERS).map(share).collect();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            // As many connections as a client of several processes would have, not as there are senders.
            let sessions: Vec<_> = (0..4).map(|_| house.session()).collect();
            let began = Instant::now();
            let mut senders = tokio::task::JoinSet::new();
            for (n, share) in shares.into_iter().enumerate() {
                senders.spawn(sender(way, sessions[n % sessions.len()].clone(), share));
            }
            let acks = senders.join_all().await.into_iter().flatten().collect();
            finished(began, acks)
        })
    }
}

fn finished(began: Instant, mut acks: Vec<f64>) -> Sent {
    acks.sort_by(f64::total_cmp);
    Sent { began, seconds: began.elapsed().as_secs_f64(), acks }
}

async fn sender(way: Way, session: perennial::session::Session, batches: Vec<Vec<Event>>) -> Vec<f64> {
    let (parent, mut client) = (session.parent(), session.ingestion());
    let mut acks = Vec::new();
    match way {
        Way::Unary | Way::Http => {
            for events in batches {
                let asked = Instant::now();
                let request = IngestEventsRequest { parent: parent.clone(), events, historical: false };
                let answer = client.ingest_events(request).await.unwrap().into_inner();
                all_accepted(&answer);
                acks.push(asked.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        Way::Stream => {
            let requests = batches.into_iter().map(move |events| StreamEventsRequest {
                parent: parent.clone(),
                events,
                historical: false,
            });
            let mut answers = client.stream_events(tokio_stream::iter(requests)).await.unwrap().into_inner();
            let mut last = Instant::now();
            while let Some(answer) = answers.next().await {
                all_accepted(&answer.unwrap());
                acks.push(last.elapsed().as_secs_f64() * 1_000.0);
                last = Instant::now();
            }
        }
        Way::ClientStream => {
            let sent: usize = batches.iter().map(Vec::len).sum();
            let requests = batches.into_iter().map(move |events| IngestStreamRequest {
                parent: parent.clone(),
                events,
                historical: false,
            });
            let answer = client.ingest_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
            assert_eq!(usize::try_from(answer.accepted_count).unwrap(), sent, "{:?}", answer.rejections);
        }
    }
    acks
}

fn all_accepted(answer: &IngestEventsResponse) {
    let other = answer.outcomes.iter().find(|it| it.result() != Taken::Accepted);
    assert!(other.is_none(), "{other:?}");
}

/// A connection that stays, as senders' libraries keep it.
struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    fn open(to: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nhost: localhost\r\nx-write-key: {key}\r\ncontent-type: application/json\r\n"
        );
        Self { stream: BufReader::new(stream), head }
    }

    fn post(&mut self, body: &str) {
        let request = format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut line, mut code, mut length) = (String::new(), None, 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let told = line.trim_end();
            if told.is_empty() {
                break;
            }
            if code.is_none() {
                code = told.split(' ').nth(1).map(str::to_owned);
            } else if let Some((name, value)) = told.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        assert_eq!(code.as_deref(), Some("200"), "{}", String::from_utf8_lossy(&answer));
    }
}
