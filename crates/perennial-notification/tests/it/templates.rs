use perennial_api::notification::v1 as wire;

use crate::harness::worlds;

#[tokio::test]
async fn a_template_with_an_unknown_variable_is_refused_with_the_remedy() {
    for mut world in worlds().await {
        let refused =
            world.template("subject: Hi\ntext: |\n  Hi\n  {{ cart.totl | money }}\n").await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        let expected =
            "template hello: text, line 2: cart.totl: cart has no \"totl\"; did you mean \"total\"?";
        assert_eq!(refused.message(), expected);
        let get = wire::GetTemplateRequest { name: "workspaces/main/templates/hello".to_owned() };
        assert_eq!(world.client.get_template(get.clone()).await.unwrap_err().code(), tonic::Code::NotFound);

        let good = "subject: Hi\ntext: Hi {{ gift }}\nvariables: [gift]\n";
        assert_eq!(
            world.template(good).await.unwrap().change(),
            wire::update_template_response::Change::Created
        );
        assert_eq!(
            world.template(good).await.unwrap().change(),
            wire::update_template_response::Change::Unchanged
        );
        let changed = world.template("subject: Ho\ntext: Hi\n").await.unwrap();
        assert_eq!(changed.template.unwrap().version, 2);
        let list = wire::ListTemplatesRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        assert_eq!(world.client.list_templates(list).await.unwrap().into_inner().templates.len(), 1);
        world.end().await;
    }
}

#[tokio::test]
async fn a_template_that_stops_refuses_its_message_and_a_new_version_counts_at_once() {
    for mut world in worlds().await {
        world.template("subject: Hi\ntext: '{% stop \"nothing in the cart\" %}'\n").await.unwrap();
        let ana = world.subscriber("ana@example.com").await;
        let stopped = world.message(ana);
        world.send(vec![stopped.clone()]).await;
        let (state, reason) = world.state(&stopped.message_id).await;
        assert_eq!(
            (state.as_str(), reason.as_str()),
            ("refused", "the template stopped it: nothing in the cart")
        );
        world.template("subject: Hi\ntext: Now\n").await.unwrap();
        let next = wire::MessageRequest { step: "second".to_owned(), ..world.message(ana) };
        world.send(vec![next.clone()]).await;
        assert!(world.mail()[&next.message_id].contains("Now"));
        world.end().await;
    }
}
