//! The `FeedService` of a process: all feeds of the services that run in it, and all readers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::Stream;
use perennial_api::feed::v1::feed_service_server::{FeedService, FeedServiceServer};
use perennial_api::feed::v1::{
    AwaitNewsRequest, AwaitNewsResponse, ConsumerPosition, ExportProfilesRequest, ExportProfilesResponse,
    ListConsumersRequest, ListConsumersResponse, ListParkedProfilesRequest, ListParkedProfilesResponse,
    ParkedProfile, PartitionRecords, ReadRequest, ReadResponse, Record, RetryParkedProfileRequest,
    RetryParkedProfileResponse,
};
use perennial_rpc::{Invalid, resource, status, workspace};
use perennial_types::{Detail, Fault, Kind, ProfileId, Workspace, micros};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::erasure::export;
use crate::{Bell, Cursor, Feed, FeedError, Fold, PARTITIONS, Reader};

/// Profiles of one export, at most.
const MOST_EXPORTED: usize = 1_000;

/// Bytes of a consumer's name, at most.
const LONGEST_NAME: usize = 100;

/// Rows in one part of an export.
const ROWS_A_PART: usize = 200;

impl Fault for FeedError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) if error.is_transient() => Kind::Unavailable,
            Self::Fenced | Self::Stumbled | Self::Peer { .. } => Kind::Unavailable,
            Self::Store(_) | Self::Malformed { .. } => Kind::Internal,
            Self::Epoch { .. } | Self::Behind { .. } | Self::Trimmed { .. } | Self::TooNew { .. } => {
                Kind::Precondition
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) => "STORE_REFUSED",
            Self::Fenced => "LANE_HELD",
            Self::Stumbled => "STEP_FAILED",
            Self::Epoch { .. } => "FEED_EPOCH_CHANGED",
            Self::Behind { .. } => "FEED_LOST_ITS_END",
            Self::Trimmed { .. } => "FEED_TRIMMED",
            Self::TooNew { .. } => "RECORD_TOO_NEW",
            Self::Peer { .. } => "FEED_UNAVAILABLE",
            Self::Malformed { .. } => "MALFORMED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        Vec::new()
    }
}

/// A reader as the `FeedService` sees it, whatever it folds.
#[async_trait]
pub trait AnyReader: Send + Sync + 'static {
    /// The reading service.
    fn name(&self) -> &str;
    /// Feed, partition, last record applied.
    async fn positions(&self) -> Result<Vec<(String, u16, u64)>, FeedError>;
    /// Changes whenever the reader has come further in this process.
    fn moved(&self) -> tokio::sync::watch::Receiver<u64>;
    /// The feeds it reads: how far each partition is.
    async fn heads(&self) -> Result<BTreeMap<(String, u16), u64>, FeedError>;
    /// Through when its own feed is complete, by partition.
    async fn complete_through(&self) -> Result<Vec<perennial_types::Timestamp>, FeedError>;
    /// Parked profiles after one.
    async fn parked(
        &self,
        workspace: &Workspace,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<crate::ParkedProfile>, FeedError>;
    /// Tries a parked profile again.
    async fn retry(&self, workspace: &Workspace, profile: ProfileId) -> Result<(u32, String), FeedError>;
    /// Every row that is kept of some profiles, as JSON, by table.
    async fn export(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
    ) -> Result<Vec<(String, Vec<String>)>, FeedError>;
    /// Leaves timers unfired: see [`Reader::rest`].
    fn rest(&self);
}

#[async_trait]
impl<F: Fold> AnyReader for Reader<F> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn positions(&self) -> Result<Vec<(String, u16, u64)>, FeedError> {
        Reader::positions(self).await
    }

    fn moved(&self) -> tokio::sync::watch::Receiver<u64> {
        self.moved.subscribe()
    }

    async fn heads(&self) -> Result<BTreeMap<(String, u16), u64>, FeedError> {
        let mut heads = BTreeMap::new();
        let applied: BTreeMap<(String, u16), u64> =
            Reader::positions(self).await?.into_iter().map(|(feed, part, seq)| ((feed, part), seq)).collect();
        for source in &self.sources {
            let cursors = (0..PARTITIONS).map(|it| perennial_api::feed::v1::Cursor {
                partition: it.into(),
                // From the checkpoint, which is never beyond the head: an answer's head is never before its cursor.
                after_seq: applied.get(&(source.name.to_string(), it)).copied().unwrap_or_default(),
                complete_after: None,
            });
            let request = ReadRequest {
                feed: source.name.to_string(),
                cursors: cursors.collect(),
                max_records: 1,
                ..ReadRequest::default()
            };
            let answer = source.client.clone().read(request).await.map_err(|status| FeedError::Peer {
                feed: source.name.to_string(),
                reason: status.message().to_owned(),
            })?;
            for it in answer.into_inner().partitions {
                let partition = u16::try_from(it.partition).unwrap_or(u16::MAX);
                heads.insert((source.name.to_string(), partition), it.head_seq);
            }
        }
        Ok(heads)
    }

    async fn complete_through(&self) -> Result<Vec<perennial_types::Timestamp>, FeedError> {
        let mut instants = Vec::new();
        for partition in 0..PARTITIONS {
            instants.push(self.feed.progress(partition).await?.instant);
        }
        Ok(instants)
    }

    async fn parked(
        &self,
        workspace: &Workspace,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<crate::ParkedProfile>, FeedError> {
        Reader::parked(self, workspace, after, most).await
    }

    async fn retry(&self, workspace: &Workspace, profile: ProfileId) -> Result<(u32, String), FeedError> {
        Reader::retry(self, workspace, profile).await
    }

    async fn export(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
    ) -> Result<Vec<(String, Vec<String>)>, FeedError> {
        Ok(export(self, workspace, profiles).await?)
    }

    fn rest(&self) {
        Reader::rest(self);
    }
}

struct Edge {
    feeds: BTreeMap<String, Feed>,
    readers: Vec<Arc<dyn AnyReader>>,
    bell: Bell,
    /// New in every process.
    process: String,
}

/// The gRPC service for the feeds and readers of this process.
pub fn server(
    feeds: impl IntoIterator<Item = Feed>,
    readers: Vec<Arc<dyn AnyReader>>,
    bell: Bell,
) -> FeedServiceServer<impl FeedService> {
    let feeds = feeds.into_iter().map(|it| (it.name().to_owned(), it)).collect();
    let process = perennial_types::new_id(bell.now()).hyphenated().to_string();
    FeedServiceServer::new(Edge { feeds, readers, bell, process })
        .max_encoding_message_size(64 << 20)
        .max_decoding_message_size(4 << 20)
}

impl Edge {
    fn feed(&self, name: &str) -> Result<&Feed, Status> {
        self.feeds.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.feeds.keys().map(String::as_str).collect();
            status(&Invalid::new(
                "feed",
                format!("no feed {name:?} in this process, which has {}", known.join(", ")),
            ))
        })
    }

    async fn read_once(
        &self,
        feed: &Feed,
        cursors: &[Cursor],
        max: usize,
        consumer: &str,
    ) -> Result<(ReadResponse, bool), Status> {
        let answers = feed.read(cursors, max).await.map_err(|error| status(&error))?;
        if !consumer.is_empty() {
            feed.answered(consumer, cursors, &answers);
        }
        let news = cursors.iter().zip(&answers).any(|(cursor, answer)| {
            !answer.records.is_empty() || cursor.complete_after.is_some_and(|it| answer.progress.reaches(it))
        });
        let partitions = answers.into_iter().map(|it| PartitionRecords {
            partition: it.partition.into(),
            records: it.records.into_iter().map(Record::from).collect(),
            head_seq: it.head_seq,
            first_seq: it.first_seq,
            progress: Some(it.progress.into()),
        });
        Ok((ReadResponse { epoch: feed.epoch().to_owned(), partitions: partitions.collect() }, news))
    }
}

#[async_trait]
impl FeedService for Edge {
    type ExportProfilesStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<ExportProfilesResponse, Status>> + Send>>;

    async fn export_profiles(
        &self,
        request: Request<ExportProfilesRequest>,
    ) -> Result<Response<Self::ExportProfilesStream>, Status> {
        let request = request.into_inner();
        let parent = workspace("parent", &request.parent)?;
        if request.names.len() > MOST_EXPORTED {
            let problem = format!("holds {}: ask for at most {MOST_EXPORTED} at once", request.names.len());
            return Err(Invalid::new("names", problem).into());
        }
        let mut profiles = Vec::with_capacity(request.names.len());
        for (n, name) in request.names.iter().enumerate() {
            let field = format!("names[{n}]");
            let (workspace, id) = resource(&field, name, "profiles")?;
            if workspace != parent {
                let problem = format!("is not of {}: ask in its own workspace", request.parent);
                return Err(Invalid::new(field, problem).into());
            }
            profiles.push(ProfileId::parse(id).map_err(|error| status(&Invalid::new(field, error)))?);
        }
        let mut parts = Vec::new();
        for reader in &self.readers {
            let found = reader.export(&parent, &profiles).await.map_err(|error| status(&error))?;
            for (store, rows) in found {
                let part = |rows: &[String]| ExportProfilesResponse {
                    service: reader.name().to_owned(),
                    store: store.clone(),
                    rows_json: rows.to_vec(),
                };
                parts.extend(rows.chunks(ROWS_A_PART).map(part).map(Ok));
            }
        }
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let request = request.into_inner();
        let feed = self.feed(&request.feed)?;
        let consumer = request.consumer.as_str();
        if consumer.len() > LONGEST_NAME {
            let problem = format!("has {} bytes: use at most {LONGEST_NAME}", consumer.len());
            return Err(Invalid::new("consumer", problem).into());
        }
        let mut cursors = Vec::with_capacity(request.cursors.len());
        for it in &request.cursors {
            let partition =
                u16::try_from(it.partition).ok().filter(|it| *it < PARTITIONS).ok_or_else(|| {
                    status(&Invalid::new("cursors.partition", format!("use 0 to {}", PARTITIONS - 1)))
                })?;
            cursors.push(Cursor {
                partition,
                after_seq: it.after_seq,
                complete_after: it.complete_after.map(Into::into),
            });
        }
        let max = match request.max_records {
            0 => 500,
            it => usize::try_from(it.min(10_000)).unwrap_or(500),
        };
        let wait = Duration::from_millis(u64::from(request.wait_ms.min(30_000)));
        if wait.is_zero() {
            return self.read_once(feed, &cursors, max, consumer).await.map(|it| Response::new(it.0));
        }
        let topics = cursors.iter().map(|it| feed.topic(it.partition));
        let listener = self.bell.listener("feed long poll", topics);
        let waiting = async {
            loop {
                let (answer, news) = self.read_once(feed, &cursors, max, consumer).await?;
                if news {
                    return Ok(answer);
                }
                // Another process's commits do not ring here, so look again now and then.
                let _ = tokio::time::timeout(Duration::from_millis(250), listener.idle(None)).await;
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(answer) => answer.map(Response::new),
            Err(_) => self.read_once(feed, &cursors, max, consumer).await.map(|it| Response::new(it.0)),
        }
    }

    async fn await_news(
        &self,
        request: Request<AwaitNewsRequest>,
    ) -> Result<Response<AwaitNewsResponse>, Status> {
        let request = request.into_inner();
        let feed = self.feed(&request.feed)?;
        let known = request.process == self.process && request.count > 0;
        if known {
            let wait = Duration::from_millis(u64::from(request.wait_ms.min(30_000)));
            // A wait that ends without news answers that there is none.
            let _ = tokio::time::timeout(wait, self.bell.rung(feed.name(), request.count)).await;
        }
        let news = self.bell.news(feed.name(), request.count);
        let partitions = if known { news.partitions } else { (0..PARTITIONS).collect() };
        let partitions = partitions.into_iter().map(u32::from).collect();
        Ok(Response::new(AwaitNewsResponse { process: self.process.clone(), count: news.count, partitions }))
    }

    async fn list_consumers(
        &self,
        _request: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        let mut consumers = Vec::new();
        for reader in &self.readers {
            let positions = reader.positions().await.map_err(|error| status(&error))?;
            let heads = reader.heads().await.map_err(|error| status(&error))?;
            let complete = reader.complete_through().await.map_err(|error| status(&error))?;
            let applied: BTreeMap<(String, u16), u64> =
                positions.into_iter().map(|(feed, partition, seq)| ((feed, partition), seq)).collect();
            for ((feed, partition), head_seq) in heads {
                let seq = applied.get(&(feed.clone(), partition)).copied().unwrap_or_default();
                let instant = complete.get(usize::from(partition)).map_or(0, |it| micros(*it));
                consumers.push(ConsumerPosition {
                    consumer: reader.name().to_owned(),
                    feed,
                    partition: partition.into(),
                    seq,
                    head_seq,
                    complete_through_micros: instant,
                });
            }
        }
        Ok(Response::new(ListConsumersResponse { consumers }))
    }

    async fn list_parked_profiles(
        &self,
        request: Request<ListParkedProfilesRequest>,
    ) -> Result<Response<ListParkedProfilesResponse>, Status> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let most = if request.page_size <= 0 { 100 } else { request.page_size.min(1_000) };
        // The token names the reader and the last profile that was shown.
        let (from, after) = match request.page_token.split_once('/') {
            Some((reader, profile)) => (
                reader.to_owned(),
                Uuid::parse_str(profile)
                    .map_err(|_| status(&Invalid::new("page_token", "use the token of the page before")))?,
            ),
            None => (String::new(), Uuid::nil()),
        };
        let mut profiles = Vec::new();
        let mut next_page_token = String::new();
        let mut after = after;
        for reader in self.readers.iter().skip_while(|it| !from.is_empty() && it.name() != from) {
            let left = i64::from(most) - i64::try_from(profiles.len()).unwrap_or_default();
            let found = reader.parked(&workspace, after, left).await.map_err(|error| status(&error))?;
            after = Uuid::nil();
            let full = i64::try_from(found.len()).unwrap_or_default() == left;
            if let Some(last) = found.last().filter(|_| full) {
                next_page_token = format!("{}/{}", reader.name(), last.profile);
            }
            profiles.extend(found.into_iter().map(|it| ParkedProfile {
                consumer: reader.name().to_owned(),
                profile: format!("{}/profiles/{}", it.workspace.resource(), it.profile),
                records: it.records,
                error: it.error,
                parked_micros: micros(it.parked_at),
            }));
            if full {
                break;
            }
        }
        Ok(Response::new(ListParkedProfilesResponse { parked_profiles: profiles, next_page_token }))
    }

    async fn retry_parked_profile(
        &self,
        request: Request<RetryParkedProfileRequest>,
    ) -> Result<Response<RetryParkedProfileResponse>, Status> {
        let request = request.into_inner();
        let (workspace, id) = resource("profile", &request.profile, "profiles")?;
        let profile = ProfileId::parse(id).map_err(|error| status(&Invalid::new("profile", error)))?;
        let reader = self.readers.iter().find(|it| it.name() == request.consumer).ok_or_else(|| {
            let known: Vec<&str> = self.readers.iter().map(|it| it.name()).collect();
            status(&Invalid::new("consumer", format!("use one of {}", known.join(", "))))
        })?;
        let (applied, error) = reader.retry(&workspace, profile).await.map_err(|error| status(&error))?;
        Ok(Response::new(RetryParkedProfileResponse { applied, error }))
    }
}
