//! Definitions, versions and lists through the API.

use perennial_api::campaign::v1 as wire;
use perennial_api::campaign::v1::campaign::State;
use perennial_api::campaign::v1::update_campaign_response::Change;
use tonic::Code;

use crate::world::{World, key, worlds};

const NEWS: &str = "kind: Campaign\nname: news\ndescription: News.\ntrigger: { event: Go }\nholdout: 5%\n\
    entry: orders >= 1\nsteps:\n  - message: { template: news }\n";

async fn update(
    world: &mut World,
    name: &str,
    definition: &str,
    state: State,
    allow_missing: bool,
    validate_only: bool,
) -> Result<wire::UpdateCampaignResponse, tonic::Status> {
    let campaign = wire::Campaign {
        name: format!("workspaces/main/campaigns/{name}"),
        definition: definition.to_owned(),
        state: state.into(),
        ..Default::default()
    };
    let request = wire::UpdateCampaignRequest { campaign: Some(campaign), allow_missing, validate_only };
    world.client.update_campaign(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_campaign_is_created_changed_by_version_and_left_alone_when_nothing_differs() {
    for mut world in worlds().await {
        let missing = update(&mut world, "news", NEWS, State::Unspecified, false, false).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        let planned = update(&mut world, "news", NEWS, State::Unspecified, true, true).await.unwrap();
        assert_eq!(planned.change(), Change::Created);
        let created = update(&mut world, "news", NEWS, State::Unspecified, true, false).await.unwrap();
        let campaign = created.campaign.clone().unwrap();
        assert_eq!(
            (created.change(), campaign.version, campaign.state()),
            (Change::Created, 1, State::Draft)
        );
        let same = update(&mut world, "news", NEWS, State::Draft, true, false).await.unwrap();
        assert_eq!(same.change(), Change::Unchanged);
        let live = update(&mut world, "news", "", State::Live, false, false).await.unwrap();
        assert_eq!((live.change(), live.campaign.unwrap().version), (Change::Updated, 1));
        let changed = NEWS.replace("template: news", "template: other");
        let changed = update(&mut world, "news", &changed, State::Unspecified, false, false).await.unwrap();
        let campaign = changed.campaign.unwrap();
        assert_eq!((campaign.version, campaign.state()), (2, State::Live));
        let request = wire::GetCampaignRequest { name: "workspaces/main/campaigns/news".to_owned() };
        let found = world.client.get_campaign(request).await.unwrap().into_inner();
        assert_eq!((found.version, found.description.as_str()), (2, "News."));
        let quiet = NEWS.replace("holdout: 5%", "holdout: 0%").replace("news", "quiet");
        let answer = update(&mut world, "quiet", &quiet, State::Live, true, false).await.unwrap();
        assert!(answer.warnings[0].starts_with("holdout is 0"));
        let request = wire::ListCampaignsRequest {
            parent: "workspaces/main".to_owned(),
            page_size: 1,
            ..Default::default()
        };
        let page = world.client.list_campaigns(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.campaigns[0].name, "workspaces/main/campaigns/news");
        let request = wire::ListCampaignsRequest { page_token: page.next_page_token, ..request };
        let page = world.client.list_campaigns(request).await.unwrap().into_inner();
        assert_eq!((page.campaigns.len(), page.next_page_token.as_str()), (1, ""));
        let elsewhere = wire::GetCampaignRequest { name: "workspaces/other/campaigns/news".to_owned() };
        assert_eq!(world.client.get_campaign(elsewhere).await.unwrap_err().code(), Code::NotFound);
        world.end().await;
    }
}

#[tokio::test]
async fn a_wrong_definition_is_refused_with_line_field_reason_and_remedy() {
    for mut world in worlds().await {
        let wrong = NEWS.replace("orders >= 1", "order >= 1");
        let refused = update(&mut world, "news", &wrong, State::Live, true, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().contains("line 6: entry: at character 1: no name order: use orders"),
            "{}",
            refused.message()
        );
        let other = update(&mut world, "olds", NEWS, State::Live, true, false).await.unwrap_err();
        assert!(other.message().contains("the definition is of campaign news, but the name is of olds"));
        let empty = update(&mut world, "news", "", State::Live, true, false).await.unwrap_err();
        assert!(empty.message().contains("is new and has no definition"));
        world.end().await;
    }
}

#[tokio::test]
async fn decisions_are_listed_newest_first_in_pages() {
    for mut world in worlds().await {
        world.live(&NEWS.replace("holdout: 5%", "holdout: 0%").replace("entry: orders >= 1\n", "")).await;
        for n in 0..5 {
            let profile = world.profile(&format!("key-{n}")).await;
            world.told(profile, "Go", perennial_types::FactKind::Tracked).await;
            world.advance(1_000_000).await;
        }
        let mut request = wire::ListDecisionsRequest {
            parent: "workspaces/main".to_owned(),
            campaign: "news".to_owned(),
            outcome: "refused".to_owned(),
            page_size: 2,
            page_token: String::new(),
        };
        let mut times = Vec::new();
        loop {
            let page = world.client.list_decisions(request.clone()).await.unwrap().into_inner();
            times.extend(page.decisions.iter().map(|it| it.decide_time.as_ref().unwrap().seconds));
            assert!(page.decisions.iter().all(|it| it.reasons[0].code == "no_consent"));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(times.len(), 5);
        assert!(times.is_sorted_by(|a, b| a > b), "{times:?}");
        world.end().await;
    }
}

const LADDER: &str = "kind: Campaign\nname: ladder\ntrigger: { event: Go }\nholdout: 0%\n\
    budget: { incentive: 2500 EUR per month }\nsteps:\n  \
    - offer: { coupon: ten, when: margin_after_discount >= 0.15 }\n    message: { template: ten }\n";

#[tokio::test]
async fn an_offer_is_weighed_by_what_it_leaves_and_borne_by_the_campaigns_own_budget() {
    for mut world in worlds().await {
        world.live(LADDER).await;
        // Nothing bought yet: the default margin of 40 % less ten percent leaves a third.
        let (ana, ben) = (world.profile("ana").await, world.profile("ben").await);
        for profile in [ana, ben] {
            world.consents(profile).await;
        }
        // Ben buys at cost, often.
        for n in 0..9 {
            world.orders_at(ben, &format!("b{n}"), 10_000, 0).await;
        }
        world.told(ana, "Go", perennial_types::FactKind::Tracked).await;
        world.told(ben, "Go", perennial_types::FactKind::Tracked).await;
        {
            let ledger = world.taken.look();
            assert_eq!(ledger.coupons.len(), 1);
            let budget = ledger.coupons[0].budget.clone().unwrap();
            assert_eq!(
                (budget.period.as_str(), budget.limit_minor, budget.currency.as_str()),
                ("2026-03", 250_000, "EUR")
            );
        }
        let explained = world.explain(ben, "ladder").await;
        assert_eq!(explained[1].outcome, "not_offered");
        let text = &explained[1].reasons[0].text;
        assert_eq!(text, "ten: not (margin_after_discount >= 0.15), since margin_after_discount is 0");
        // What is applied again takes the offer as it is now.
        world.taken.look().per_mille.insert("ten".to_owned(), 300);
        world.live(LADDER).await;
        let cleo = world.profile("cleo").await;
        world.consents(cleo).await;
        world.told(cleo, "Go", perennial_types::FactKind::Tracked).await;
        let explained = world.explain(cleo, "ladder").await;
        assert_eq!((explained[1].outcome.as_str(), explained[1].version), ("not_offered", 2));
        assert!(explained[1].reasons[0].text.ends_with("is 0.143"), "{:?}", explained[1].reasons);
        world.end().await;
    }
}

#[tokio::test]
async fn a_spent_budget_is_the_reason_that_no_offer_is_made() {
    for mut world in worlds().await {
        world.live(LADDER).await;
        let profile = world.profile("ana").await;
        world.consents(profile).await;
        world.told(profile, "Go", perennial_types::FactKind::Tracked).await;
        let sent = world.explain(profile, "ladder").await[1].clone();
        let event = ("Message Refused", "offer ten: CAMPAIGN_BUDGET_SPENT");
        let properties = [
            ("decision_id".to_owned(), sent.decision_id.as_str().into()),
            ("reason".to_owned(), event.1.into()),
            ("offer".to_owned(), "ten".into()),
        ];
        world.told_with(profile, event.0, perennial_types::FactKind::Tracked, properties.into()).await;
        let told = world.explain(profile, "ladder").await.pop().unwrap();
        assert_eq!((told.outcome.as_str(), told.step.as_str()), ("not_offered", "ten"));
        assert_eq!(told.reasons[0].text, "not delivered: offer ten: CAMPAIGN_BUDGET_SPENT");
        assert_eq!(world.report("ladder").await.sent, 0);
        world.end().await;
    }
}

#[tokio::test]
async fn an_offer_that_there_is_not_cannot_be_weighed() {
    for mut world in worlds().await {
        let definition = LADDER.replace("coupon: ten", "coupon: no-such");
        let campaign = wire::Campaign {
            name: "workspaces/main/campaigns/ladder".to_owned(),
            definition,
            ..Default::default()
        };
        let request = wire::UpdateCampaignRequest {
            campaign: Some(campaign),
            allow_missing: true,
            validate_only: false,
        };
        let refused = world.client.update_campaign(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().starts_with("offer no-such does not exist"), "{}", refused.message());
        world.end().await;
    }
}

#[tokio::test]
async fn a_campaign_starts_on_those_already_there_once_and_counts_them_first() {
    let definition = "kind: Campaign\nname: rescue\ntrigger: { stage: at_risk }\nholdout: 50%\n\
        entry: consent(\"email\", \"marketing\")\nsteps:\n  - message: { template: rescue }\n  - wait: 1d\n";
    for mut world in worlds().await {
        let (sent, silent) = (key("rescue", 0.5, false), key("rescue", 0.5, true));
        let mut there = Vec::new();
        for key in [&sent, &silent, &sent, &sent] {
            there.push(world.profile(key).await);
        }
        for profile in &there {
            world.staged(*profile, "loyal", "at_risk").await;
        }
        for profile in &there[..3] {
            world.consents(*profile).await;
        }
        let elsewhere = world.profile(&sent).await;
        world.consents(elsewhere).await;
        let name = "workspaces/main/campaigns/rescue".to_owned();
        let ask = |validate_only, definition: &str| wire::EnterExistingRequest {
            name: name.clone(),
            validate_only,
            definition: definition.to_owned(),
        };
        let counted = world.client.enter_existing(ask(true, definition)).await.unwrap().into_inner();
        assert_eq!((counted.profiles, counted.matching, counted.entering), (5, 4, 3));
        assert_eq!((counted.held_out, counted.not_entitled, counted.inside), (1, 1, 0));
        world.live(definition).await;
        world.settle().await;
        assert!(world.templates().is_empty(), "going live starts nobody");
        let started = world.client.enter_existing(ask(false, "")).await.unwrap().into_inner();
        assert_eq!((started.matching, started.entering), (4, 3));
        world.settle().await;
        assert_eq!(world.templates(), ["rescue", "rescue"]);
        let told = world.explain(there[1], "rescue").await;
        assert_eq!(
            told[0].reasons[0].text,
            "was in stage at_risk when the campaign was started on those already there"
        );
        assert_eq!(told[1].outcome, "held_out");
        let again = world.client.enter_existing(ask(false, "")).await.unwrap().into_inner();
        assert_eq!((again.inside, again.entering), (3, 0));
        world.settle().await;
        assert_eq!(world.templates().len(), 2);
        assert!(world.explain(elsewhere, "rescue").await.is_empty());

        world.live(LADDER).await;
        let name = "workspaces/main/campaigns/ladder".to_owned();
        let request = wire::EnterExistingRequest { name, validate_only: true, ..Default::default() };
        let refused = world.client.enter_existing(request).await.unwrap_err();
        assert!(refused.message().contains("nobody is already at an event"), "{}", refused.message());
        let nowhere = wire::EnterExistingRequest {
            name: "workspaces/main/campaigns/nowhere".to_owned(),
            ..Default::default()
        };
        assert_eq!(world.client.enter_existing(nowhere).await.unwrap_err().code(), tonic::Code::NotFound);
        world.end().await;
    }
}
