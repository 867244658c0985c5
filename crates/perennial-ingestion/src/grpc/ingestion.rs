//! Events in, what was refused, settings and write keys.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use perennial_api::ingestion::v1 as wire;
use perennial_api::ingestion::v1::ingestion_service_server::IngestionService;
use perennial_rpc::{Invalid, Page, resource, time, workspace};
use perennial_types::{Channel, Currency, Purpose, Workspace};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::Edge;
use super::event::to_segment;
use crate::app::{Batch, Change, Outcome, Sheet};
use crate::domain::access::KeyKind;
use crate::domain::agreement::{Basis, Rule};
use crate::domain::intake::Envelope;
use crate::domain::settings::{Rates, Settings};
use crate::store::keys::KeptKey;
use crate::store::rejected::Rejected;

/// Most rejections that the answer to a stream tells.
const REJECTIONS: usize = 1_000;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl IngestionService for Edge {
    async fn ingest_events(
        &self,
        request: Request<wire::IngestEventsRequest>,
    ) -> Answer<wire::IngestEventsResponse> {
        let wire::IngestEventsRequest { parent, events, historical } = request.into_inner();
        let workspace = workspace("parent", &parent)?;
        let outcomes = self.take(workspace, events, historical, false).await?;
        let outcomes = outcomes.into_iter().map(outcome).collect();
        Ok(Response::new(wire::IngestEventsResponse { outcomes }))
    }

    async fn ingest_event(&self, request: Request<wire::IngestEventRequest>) -> Answer<wire::EventOutcome> {
        let wire::IngestEventRequest { parent, event, historical } = request.into_inner();
        let workspace = workspace("parent", &parent)?;
        let event = event.ok_or_else(|| Invalid::new("event", "is missing: set it"))?;
        let outcomes = self.take(workspace, vec![event], historical, false).await?;
        let outcome = outcomes.into_iter().next().map(outcome);
        Ok(Response::new(outcome.ok_or_else(|| Status::from(crate::error::Error::NotCommitted))?))
    }

    async fn ingest_stream(
        &self,
        request: Request<Streaming<wire::IngestStreamRequest>>,
    ) -> Answer<wire::IngestStreamResponse> {
        let requests = request.into_inner().map_ok(|it| (it.parent, it.events, it.historical));
        let mut batches = Batches { edge: self.clone(), requests: requests.boxed(), workspace: None };
        let mut answer = wire::IngestStreamResponse::default();
        let mut index = 0;
        while let Some(outcomes) = batches.next().await? {
            for it in outcomes {
                match it {
                    Outcome::Accepted => answer.accepted_count += 1,
                    Outcome::Duplicate => answer.duplicate_count += 1,
                    Outcome::Rejected(_) => {
                        answer.rejected_count += 1;
                        if answer.rejections.len() < REJECTIONS {
                            answer
                                .rejections
                                .push(wire::StreamRejection { index, outcome: Some(outcome(it)) });
                        }
                    }
                }
                index += 1;
            }
        }
        Ok(Response::new(answer))
    }

    type StreamEventsStream = BoxStream<'static, Result<wire::IngestEventsResponse, Status>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<wire::StreamEventsRequest>>,
    ) -> Answer<Self::StreamEventsStream> {
        let requests = request.into_inner().map_ok(|it| (it.parent, it.events, it.historical));
        let batches = Batches { edge: self.clone(), requests: requests.boxed(), workspace: None };
        let answers = futures::stream::try_unfold(batches, |mut batches| async move {
            let Some(outcomes) = batches.next().await? else { return Ok(None) };
            let outcomes = outcomes.into_iter().map(outcome).collect();
            Ok(Some((wire::IngestEventsResponse { outcomes }, batches)))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn list_rejected_events(
        &self,
        request: Request<wire::ListRejectedEventsRequest>,
    ) -> Answer<wire::ListRejectedEventsResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListRejectedEvents", message.parent.as_str(), message.cause.as_str()];
        let cause = super::quality::cause(&workspace, &message.cause)?;
        let page = Page::<(i64, Uuid)>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.rejected(&workspace, cause.as_deref(), page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| (perennial_types::micros(it.received), it.id));
        let rejected_events = found.into_iter().map(|it| rejected(&workspace, it)).collect();
        Ok(Response::new(wire::ListRejectedEventsResponse { rejected_events, next_page_token }))
    }

    async fn get_ingest_stats(
        &self,
        request: Request<wire::GetIngestStatsRequest>,
    ) -> Answer<wire::IngestStats> {
        let name = request.into_inner().name;
        let parent = name.strip_suffix("/ingestStats").ok_or_else(|| {
            Invalid::new("name", "is wrong: use the form workspaces/{workspace}/ingestStats")
        })?;
        let counts = self.app.counts(&workspace("name", parent)?).await?;
        let count = |name: &str| counts.get(name).copied().unwrap_or_default();
        Ok(Response::new(wire::IngestStats {
            accepted_count: count("accepted"),
            duplicate_count: count("duplicate"),
            rejected_count: count("rejected"),
            profile_count: count("profiles"),
            merge_count: count("merges"),
            name,
        }))
    }

    async fn get_workspace(&self, request: Request<wire::GetWorkspaceRequest>) -> Answer<wire::Workspace> {
        let workspace = workspace("name", &request.into_inner().name)?;
        let (settings, fixed) = self.app.workspace(&workspace).await?;
        Ok(Response::new(shown(&settings, fixed)))
    }

    async fn update_workspace(
        &self,
        request: Request<wire::UpdateWorkspaceRequest>,
    ) -> Answer<wire::Workspace> {
        let wire::UpdateWorkspaceRequest { workspace: wanted, update_mask } = request.into_inner();
        let wanted = wanted.ok_or_else(|| Invalid::new("workspace", "is missing: set it"))?;
        let workspace = workspace("workspace.name", &wanted.name)?;
        let paths = update_mask.map(|it| it.paths).unwrap_or_default();
        let known = [
            "currency",
            "default_margin_per_mille",
            "time_zone",
            "exchange_rates",
            "locale",
            "consent_rules",
        ];
        if let Some(path) = paths.iter().find(|it| !known.contains(&it.as_str())) {
            let problem = format!("names {path:?}: use {}", known.join(", "));
            return Err(Invalid::new("update_mask", problem).into());
        }
        let asked = |path: &str| paths.is_empty() || paths.iter().any(|it| it == path);
        let change = Change {
            currency: if asked("currency") && !wanted.currency.is_empty() {
                Some(currency("workspace.currency", &wanted.currency)?)
            } else {
                None
            },
            default_margin_per_mille: wanted
                .default_margin_per_mille
                .filter(|_| asked("default_margin_per_mille"))
                .map(i64::from),
            time_zone: Some(wanted.time_zone).filter(|it| asked("time_zone") && !it.is_empty()),
            locale: Some(wanted.locale).filter(|it| asked("locale") && !it.is_empty()),
            consent_rules: if paths.iter().any(|it| it == "consent_rules") || !wanted.consent_rules.is_empty()
            {
                Some(consent_rules(wanted.consent_rules)?)
            } else {
                None
            },
            rates: if asked("exchange_rates") { rates(wanted.exchange_rates)? } else { Rates::new() },
        };
        self.app.change_workspace(&workspace, change).await?;
        let (settings, fixed) = self.app.workspace(&workspace).await?;
        Ok(Response::new(shown(&settings, fixed)))
    }

    async fn create_write_key(
        &self,
        request: Request<wire::CreateWriteKeyRequest>,
    ) -> Answer<wire::WriteKey> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let minted = self.app.create_write_key(&workspace, &message.display_name).await?;
        let mut answer = key(&workspace, minted.kept);
        answer.key = minted.key;
        Ok(Response::new(answer))
    }

    async fn list_write_keys(
        &self,
        request: Request<wire::ListWriteKeysRequest>,
    ) -> Answer<wire::ListWriteKeysResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListWriteKeys", message.parent.as_str()];
        let page = Page::<Uuid>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.keys(&workspace, KeyKind::Write, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.id);
        let write_keys = found.into_iter().map(|it| key(&workspace, it)).collect();
        Ok(Response::new(wire::ListWriteKeysResponse { write_keys, next_page_token }))
    }

    async fn revoke_write_key(
        &self,
        request: Request<wire::RevokeWriteKeyRequest>,
    ) -> Answer<wire::WriteKey> {
        let message = request.into_inner();
        let (workspace, id) = resource("name", &message.name, "writeKeys")?;
        let revoked = self.app.revoke_key(&workspace, KeyKind::Write, id).await?;
        Ok(Response::new(key(&workspace, revoked)))
    }
}

impl Edge {
    async fn take(
        &self,
        workspace: Workspace,
        events: Vec<wire::Event>,
        historical: bool,
        patient: bool,
    ) -> Result<Vec<Outcome>, Status> {
        let most = self.app.limits().events;
        if events.len() > most {
            let problem = format!("holds {}: send at most {most} at once", events.len());
            return Err(Invalid::new("events", problem).into());
        }
        let items: Vec<String> = events.into_iter().map(to_segment).collect();
        let envelope = Envelope::default();
        let sheets = items.iter().map(|json| Sheet { kind: None, json, first_received: None }).collect();
        let batch = Batch { workspace, sheets, envelope: &envelope, historical, trusted: true };
        Ok(if patient { self.app.ingest_when_room(batch).await? } else { self.app.ingest(batch).await? })
    }
}

/// What a batch says: its workspace, its events, and whether they are history.
type Sent = (String, Vec<wire::Event>, bool);

/// The batches of a stream, each taken in before the next is read.
struct Batches {
    edge: Edge,
    requests: BoxStream<'static, Result<Sent, Status>>,
    workspace: Option<Workspace>,
}

impl Batches {
    async fn next(&mut self) -> Result<Option<Vec<Outcome>>, Status> {
        let Some((parent, events, historical)) = self.requests.next().await.transpose()? else {
            return Ok(None);
        };
        let workspace = match (&self.workspace, parent.is_empty()) {
            (Some(known), true) => known.clone(),
            _ => workspace("parent", &parent)?,
        };
        self.workspace = Some(workspace.clone());
        self.edge.take(workspace, events, historical, true).await.map(Some)
    }
}

fn outcome(outcome: Outcome) -> wire::EventOutcome {
    use wire::event_outcome::Result as Word;
    match outcome {
        Outcome::Accepted => wire::EventOutcome { result: Word::Accepted.into(), ..Default::default() },
        Outcome::Duplicate => wire::EventOutcome { result: Word::Duplicate.into(), ..Default::default() },
        Outcome::Rejected(problem) => wire::EventOutcome {
            result: Word::Rejected.into(),
            reason: problem.to_string(),
            field: problem.field,
            remedy: problem.remedy,
        },
    }
}

fn rejected(workspace: &Workspace, it: Rejected) -> wire::RejectedEvent {
    wire::RejectedEvent {
        name: format!("{}/rejectedEvents/{}", workspace.resource(), it.id),
        blocked: crate::app::blocked(&it).unwrap_or_default().to_owned(),
        cause: super::quality::cause_name(workspace, &it.cause),
        fixed_body: it.fixed.unwrap_or_default(),
        replay_time: it.replayed.map(time::to_wire),
        receive_time: Some(time::to_wire(it.received)),
        message_id: it.message_id,
        event: it.name,
        field: it.problem.field,
        reason: it.problem.reason,
        remedy: it.problem.remedy,
        taken: it.taken,
        body: it.body,
    }
}

fn key(workspace: &Workspace, it: KeptKey) -> wire::WriteKey {
    wire::WriteKey {
        name: format!("{}/writeKeys/{}", workspace.resource(), it.id),
        display_name: it.display_name,
        key: String::new(),
        key_prefix: it.prefix,
        create_time: Some(time::to_wire(it.created)),
        last_use_time: it.last_used.map(time::to_wire),
        revoke_time: it.revoked.map(time::to_wire),
    }
}

fn shown(settings: &Settings, fixed: bool) -> wire::Workspace {
    let rate = |(currency, dated): (&Currency, &std::collections::BTreeMap<jiff::civil::Date, f64>)| {
        let currency = currency.code().to_owned();
        dated
            .iter()
            .map(|(date, rate)| wire::ExchangeRate {
                currency: currency.clone(),
                start_date: date.to_string(),
                rate: *rate,
            })
            .collect::<Vec<_>>()
    };
    wire::Workspace {
        name: settings.workspace.resource(),
        currency: if fixed { settings.currency.code().to_owned() } else { String::new() },
        default_margin_per_mille: i32::try_from(settings.default_margin_per_mille).ok(),
        time_zone: settings.time_zone.clone(),
        exchange_rates: settings.rates.iter().flat_map(rate).collect(),
        locale: settings.locale.clone(),
        consent_rules: settings.consent_rules.iter().map(shown_rule).collect(),
    }
}

fn shown_rule(it: &Rule) -> wire::ConsentRule {
    wire::ConsentRule {
        region: it.region.clone(),
        channel: it.channel.as_str().to_owned(),
        purpose: it.purpose.as_str().to_owned(),
        basis: it.basis.as_str().to_owned(),
    }
}

fn consent_rules(wire: Vec<wire::ConsentRule>) -> Result<Vec<Rule>, Invalid> {
    let mut rules: Vec<Rule> = Vec::with_capacity(wire.len());
    for (n, it) in wire.into_iter().enumerate() {
        let field = |name: &str| format!("workspace.consent_rules[{n}].{name}");
        let refused = |name: &str, told: &str, remedy: &str| {
            Invalid::new(field(name), format!("is {told:?}: use {remedy}"))
        };
        let region = it.region.to_ascii_uppercase();
        if !(region.is_empty() || region.len() == 2 && region.bytes().all(|it| it.is_ascii_alphabetic())) {
            return Err(refused(
                "region",
                &it.region,
                "the two letters of a country, or nothing for everywhere",
            ));
        }
        let rule = Rule {
            region,
            channel: Channel::parse(&it.channel)
                .ok_or_else(|| refused("channel", &it.channel, "email, sms, push, webhook or on_site"))?,
            purpose: Purpose::parse(&it.purpose)
                .ok_or_else(|| refused("purpose", &it.purpose, "marketing or transactional"))?,
            basis: Basis::parse(&it.basis)
                .ok_or_else(|| refused("basis", &it.basis, "explicit, double_opt_in or presumed"))?,
        };
        let same =
            |it: &Rule| (&it.region, it.channel, it.purpose) == (&rule.region, rule.channel, rule.purpose);
        if rules.iter().any(same) {
            return Err(Invalid::new(
                field("region"),
                "has two rules for one channel and purpose: leave one",
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn currency(field: &str, code: &str) -> Result<Currency, Invalid> {
    Currency::parse(code).map_err(|error| Invalid::new(field, format!("is wrong: {error}")))
}

fn rates(wire: Vec<wire::ExchangeRate>) -> Result<Rates, Invalid> {
    let mut rates = Rates::new();
    for (n, it) in wire.into_iter().enumerate() {
        let field = |name: &str| format!("workspace.exchange_rates[{n}].{name}");
        let date = it.start_date.parse().map_err(|_| {
            Invalid::new(field("start_date"), format!("is {:?}: use a day such as 2026-01-31", it.start_date))
        })?;
        if !(it.rate.is_finite() && it.rate > 0.0) {
            return Err(Invalid::new(field("rate"), format!("is {}: use a number above 0", it.rate)));
        }
        rates.entry(currency(&field("currency"), &it.currency)?).or_default().insert(date, it.rate);
    }
    Ok(rates)
}
