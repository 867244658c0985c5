//! Campaigns with all services around them: a mail server that stays away, a start on those already there.

use perennial::commands::apply::{Apply, apply};
use perennial::compose::ALL;
use perennial::config::Config;
use perennial::embedded::{self, Here, caught_up};
use perennial::output::Format;
use perennial::session::Session;
use perennial_api::campaign::v1::{
    Decision, ExplainDecisionRequest, GetCampaignReportRequest,
    campaign_service_client::CampaignServiceClient,
};
use perennial_api::ingestion::v1::{Event, IngestEventsRequest};
use perennial_notification::TransportKind;
use perennial_rpc::{Transport, structs, time};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

const HOUR: i64 = 3_600_000_000;

const FILES: &str = "kind: Campaign
name: news
trigger: { event: Go }
holdout: 0%
steps:
  - message: { template: news, expires: 2d }
---
kind: Campaign
name: second
trigger: { event: Later }
holdout: 0%
steps:
  - message: { template: news }
---
kind: Template
name: news
subject: News
text: Hello
";

struct Shop<'a> {
    here: &'a Here,
    session: Session,
    campaign: CampaignServiceClient<Transport>,
}

impl Shop<'_> {
    async fn tell(&self, kind: &str, event: &str, traits: serde_json::Value) {
        self.tell_of("ana", kind, event, traits).await;
    }

    async fn tell_of(&self, who: &str, kind: &str, event: &str, traits: serde_json::Value) {
        let now = self.here.host.clock.now();
        let event = Event {
            message_id: format!("{who}-{kind}-{event}-{now}"),
            r#type: kind.to_owned(),
            event: event.to_owned(),
            user_id: who.to_owned(),
            properties: traits.as_object().cloned().map(structs::from_json),
            event_time: Some(time::to_wire(now)),
            ..Event::default()
        };
        let request =
            IngestEventsRequest { parent: self.session.parent(), events: vec![event], historical: false };
        self.session.ingestion().ingest_events(request).await.unwrap();
        caught_up(&self.here.host.bell).await.unwrap();
    }

    /// Lets time pass, stopping at every instant at which something is due.
    async fn advance(&self, by: i64) {
        let (clock, bell) = (&self.here.host.clock, &self.here.host.bell);
        caught_up(bell).await.unwrap();
        let until = from_micros(micros(clock.now()) + by);
        while clock.now() < until {
            let next = bell.next_due().filter(|it| *it < until).unwrap_or(until).max(clock.now());
            clock.simulation().unwrap().advance(next);
            bell.clock_moved();
            caught_up(bell).await.unwrap();
        }
    }

    async fn explain(&self, profile: &str, campaign: &str) -> Vec<Decision> {
        let request = ExplainDecisionRequest {
            profile: profile.to_owned(),
            campaign: campaign.to_owned(),
            page_size: 0,
        };
        self.campaign.clone().explain_decision(request).await.unwrap().into_inner().entries
    }

    async fn sent(&self, campaign: &str) -> u64 {
        let name = self.session.name("campaigns", campaign);
        let report = self.campaign.clone().get_campaign_report(GetCampaignReportRequest { name }).await;
        report.unwrap().into_inner().sent
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_costs_no_slot_and_the_reason_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files.yaml");
    std::fs::write(&files, FILES).unwrap();
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let mut config = Config::default().in_folder(folder.path());
    config.process.clock.simulated_from = Some(start);
    config.services.campaign.contact.caps = vec!["1 per 7d".to_owned()];
    // A port that nobody listens at.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.services.notification.transport = TransportKind::Smtp;
    config.services.notification.smtp.port = port;
    config.services.notification.smtp.host = "127.0.0.1".to_owned();
    embedded::run(&config, &ALL, &[], async |here| {
        let session = Session::new(here.host.mesh.clone(), Workspace::parse("main")?, Format::Json);
        let shop = Shop { here, campaign: session.campaign(), session: session.clone() };
        let what = Apply { files: vec![files.clone()], dry_run: false, live: true, enter_existing: false };
        let (_, broken) = apply(&session, &what, &[]).await?;
        assert!(broken.is_empty(), "{broken:?}");
        let traits = serde_json::json!({ "email": "ana@example.com", "consent": { "email": true } });
        shop.tell("identify", "", traits).await;
        shop.tell("track", "Go", serde_json::Value::Null).await;
        let profile = session.profile("ana").await?.name;
        assert_eq!(shop.sent("news").await, 1);
        // Nobody takes it until quiet hours begin; then it comes back, and again until its two days are over.
        shop.advance(49 * HOUR).await;
        let told = shop.explain(&profile, "news").await;
        let expired: Vec<_> = told.iter().filter(|it| it.outcome == "expired").collect();
        assert_eq!(expired.len(), 3, "{told:?}");
        assert!(expired.iter().all(|it| it.reasons[0].text.starts_with("not delivered: PAST_NOT_AFTER")));
        let sent: Vec<_> =
            told.iter().filter(|it| it.outcome == "sent").map(|it| it.delivery.as_str()).collect();
        assert_eq!(sent, ["expired"; 3]);
        assert_eq!(shop.sent("news").await, 0);
        // The slot it never used is there for the next one.
        shop.tell("track", "Later", serde_json::Value::Null).await;
        let second = shop.explain(&profile, "second").await;
        assert!(second.iter().any(|it| it.outcome == "sent"), "{second:?}");
        Ok(())
    })
    .await
    .unwrap();
}

const RESCUE: &str = "kind: Segment
name: fans
description: Whoever said so.
rule: traits.fan == true
---
kind: Campaign
name: rescue
trigger: { segment: fans }
entry: consent(\"email\", \"marketing\")
holdout: 0%
steps:
  - message: { template: news }
---
kind: Template
name: news
subject: News
text: Hello
";

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_starts_on_those_already_in_its_segment_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files.yaml");
    std::fs::write(&files, RESCUE).unwrap();
    let mut config = Config::default().in_folder(folder.path());
    config.process.clock.simulated_from = Some("2026-03-02T09:00:00Z".parse().unwrap());
    config.services.notification.maildir.folder = folder.path().join("mail");
    embedded::run(&config, &ALL, &[], async |here| {
        let session = Session::new(here.host.mesh.clone(), Workspace::parse("main")?, Format::Json);
        let shop = Shop { here, campaign: session.campaign(), session: session.clone() };
        let what = Apply { files: vec![files.clone()], dry_run: false, live: true, enter_existing: false };
        for (who, consent) in [("ana", true), ("ben", true), ("cleo", false)] {
            let email = format!("{who}@example.com");
            let traits = serde_json::json!({ "email": email, "fan": true, "consent": { "email": consent } });
            shop.tell_of(who, "identify", "", traits).await;
        }
        let mut segment = what.clone();
        segment.files = vec![folder.path().join("segment.yaml")];
        std::fs::write(&segment.files[0], RESCUE.split("---").next().unwrap())?;
        assert!(apply(&session, &segment, &[]).await?.1.is_empty());
        caught_up(&here.host.bell).await?;
        let dry = Apply { dry_run: true, enter_existing: true, ..what.clone() };
        let (changes, broken) = apply(&session, &dry, &[]).await?;
        assert!(broken.is_empty(), "{broken:?}");
        let note = &changes.iter().find(|it| it.name == "rescue").unwrap().note;
        assert!(
            note.ends_with("would start on 2 of 3 already there (1 without its entry condition)"),
            "{note}"
        );
        apply(&session, &what, &[]).await?;
        caught_up(&here.host.bell).await?;
        assert_eq!(shop.sent("rescue").await, 0, "going live starts nobody");
        let (changes, broken) = apply(&session, &Apply { enter_existing: true, ..what }, &[]).await?;
        assert!(broken.is_empty(), "{broken:?}");
        let note = &changes.iter().find(|it| it.name == "rescue").unwrap().note;
        assert!(note.contains("starts on 2 of 3 already there"), "{note}");
        caught_up(&here.host.bell).await?;
        assert_eq!(shop.sent("rescue").await, 2);
        assert_eq!(std::fs::read_dir(folder.path().join("mail/new"))?.count(), 2);
        let refused = apply(&session.clone().here(), &dry, &[]).await?.1;
        assert!(refused[0].contains("needs the running services"), "{refused:?}");
        Ok(())
    })
    .await
    .unwrap();
}
