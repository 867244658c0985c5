//! The Segment wire, as its libraries speak it.

crate::on_every_database!(
    every_call_and_every_path_is_taken,
    every_form_of_key_opens_and_no_other,
    a_repetition_counts_once,
    bad_events_are_listed_and_cost_nobody_else_anything,
    bodies_that_cannot_be_used_are_refused_and_none_is_redirected,
    a_browser_may_ask_and_send_from_another_site,
    other_vendors_paths_and_habits_are_understood,
    a_picture_carries_one_event,
    libraries_find_their_settings,
    a_zone_that_does_not_exist_costs_that_profile_only,
);

mod cases {
    use crate::house::House;
    use base64::Engine;
    use std::io::Write;

    pub async fn every_call_and_every_path_is_taken(house: &House) {
        for (path, body) in [
            ("/v1/track", r#"{"userId":"1","event":"Song Played","properties":{"n":1}}"#),
            ("/v1/identify", r#"{"userId":"1","traits":{"email":"a@b.de","plan":"pro"}}"#),
            ("/v1/page", r#"{"anonymousId":"x","userId":null,"name":"Home"}"#),
            ("/v1/screen", r#"{"anonymousId":"x","name":"Main"}"#),
            ("/v1/group", r#"{"userId":"1","groupId":"g","traits":{"size":3}}"#),
            ("/v1/alias", r#"{"userId":"1","previousId":"1"}"#),
            ("/v1/t", r#"{"userId":"1","event":"Song Played"}"#),
            ("/v1/i", r#"{"userId":"1","traits":{}}"#),
            ("/v1/p", r#"{"anonymousId":"x"}"#),
            ("/v1/s", r#"{"anonymousId":"x"}"#),
            ("/v1/g", r#"{"userId":"1","groupId":"g"}"#),
            ("/v1/a", r#"{"userId":"1","previousId":"x"}"#),
            ("/v1/batch", r#"{"batch":[{"type":"track","userId":"2","event":"A"}],"sentAt":null}"#),
            ("/v1/b", r#"{"batch":[{"type":"page","anonymousId":"y"}]}"#),
            ("/api/public/apps/batch", r#"{"batch":[{"type":"page","anonymousId":"y"}]}"#),
        ] {
            assert_eq!(house.post(path, body).await, 200, "{path}");
        }
        assert_eq!(house.post("/v1/m", "{}").await, 200);
        assert_eq!(house.post("/m", "{}").await, 200);
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count), (15, 0));
        // The visitor x became customer 1; 2 and y are others.
        assert_eq!((stats.profile_count, stats.merge_count), (3, 1));
        assert_eq!(house.facts().await.len(), 15);
        let ana = house.lookup("A@B.de").await.unwrap();
        assert_eq!(ana.identifiers.len(), 3);
        assert_eq!(ana.traits_json, r#"{"plan":"pro"}"#);
    }

    pub async fn every_form_of_key_opens_and_no_other(house: &House) {
        let key = &house.key;
        let basic = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let event = |extra: &str| format!(r#"{{"userId":"1","event":"A"{extra}}}"#);
        for (header, extra) in [
            (format!("Authorization: Basic {}", basic(&format!("{key}:"))), String::new()),
            (format!("Authorization: Basic {}", basic(key)), String::new()),
            (format!("Authorization: Basic {key}"), String::new()),
            (format!("Authorization: Bearer {key}"), String::new()),
            ("Authorization: Bearer token".to_owned(), format!(r#","writeKey":"{key}""#)),
            (format!("X-Write-Key: {key}"), r#","writeKey":"k:***""#.to_owned()),
            (format!("X-Write-Key: id:{key}"), String::new()),
        ] {
            let head = format!("POST /v1/track HTTP/1.1\r\n{header}");
            let (status, answer) = house.send(&head, event(&extra).as_bytes()).await;
            assert_eq!(status, 200, "{header}: {answer}");
            assert!(answer.ends_with(r#"{"success":true}"#));
        }
        for header in ["Authorization: Basic d2tfMTo=", "X-Write-Key: wk_x", "Accept: */*"] {
            let (status, answer) =
                house.send(&format!("POST /v1/track HTTP/1.1\r\n{header}"), event("").as_bytes()).await;
            assert_eq!(status, 401, "{answer}");
        }
        assert_eq!(house.stats().await.accepted_count, 7);
        let settings = house.send(&format!("GET /v1/projects/{key}/settings HTTP/1.1"), b"").await;
        assert!(settings.0 == 200 && settings.1.contains("Segment.io"), "{}", settings.1);
    }

    pub async fn a_repetition_counts_once(house: &House) {
        let body = r#"{"batch":[{"type":"track","messageId":"m1","userId":"1","event":"A"},
            {"type":"track","messageId":"m2","userId":"2","event":"B"},
            {"type":"track","messageId":"m1","userId":"1","event":"A"}]}"#;
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        zipped.write_all(body.as_bytes()).unwrap();
        let zipped = zipped.finish().unwrap();
        for retry in 0..3 {
            let head = format!(
                "POST /v1/batch HTTP/1.1\r\nX-Write-Key: {}\r\nContent-Encoding: gzip\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nX-Retry-Count: {retry}",
                house.key
            );
            assert_eq!(house.send(&head, &zipped).await.0, 200);
        }
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.duplicate_count, stats.profile_count), (2, 7, 2));
        assert_eq!(house.facts().await.len(), 2);
    }

    pub async fn bad_events_are_listed_and_cost_nobody_else_anything(house: &House) {
        let large = "x".repeat(33 * 1024);
        let body = format!(
            r#"{{"batch":[{{"type":"track","messageId":"bad","userId":"1","event":"Order Completed","properties":{{}}}},
                {{"type":"track","userId":"1","event":"Fine"}},
                {{"type":"track","messageId":"large","userId":"1","event":"Large","properties":{{"x":"{large}"}}}},
                {{"type":"alias","messageId":"other","userId":"1","previousId":"2"}},
                7]}}"#
        );
        let identify = r#"{"userId":"2","traits":{}}"#;
        assert_eq!(house.post("/v1/identify", identify).await, 200);
        for _ in 0..2 {
            assert_eq!(
                house.post("/v1/batch", &body.replace("\"Fine\"", "\"Fine\",\"messageId\":\"fine\"")).await,
                200
            );
        }
        let stats = house.stats().await;
        // Without a message id, 7 is another event each time.
        assert_eq!((stats.accepted_count, stats.rejected_count), (2, 5));
        let rejected = house.rejected().await;
        let bad = rejected.iter().find(|it| it.message_id == "bad").unwrap();
        assert_eq!((bad.event.as_str(), bad.field.as_str()), ("Order Completed", "properties.order_id"));
        assert!(!bad.reason.is_empty() && !bad.remedy.is_empty() && bad.body.contains("Order Completed"));
        let other = rejected.iter().find(|it| it.message_id == "other").unwrap();
        assert_eq!(other.field, "previousId");
    }

    pub async fn bodies_that_cannot_be_used_are_refused_and_none_is_redirected(house: &House) {
        assert_eq!(house.post("/v1/batch", "{").await, 400);
        assert_eq!(house.post("/v1/batch", "{}").await, 400);
        assert_eq!(house.post("/v1/track", "nothing").await, 400);
        let many = format!(r#"{{"batch":[{}]}}"#, vec!["{}"; 2_501].join(","));
        assert_eq!(house.post("/v1/batch", &many).await, 400);
        let large = format!(r#"{{"event":"{}"}}"#, "x".repeat(33 * 1024));
        assert_eq!(house.post("/v1/track", &large).await, 400);
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![b' '; 5 * 1024 * 1024]).unwrap();
        let head = format!("POST /v1/batch?writeKey={} HTTP/1.1", house.key);
        assert_eq!(house.send(&head, &bomb.finish().unwrap()).await.0, 400);
        assert_eq!(house.send(&head, &[0x1f, 0x8b, 1, 2, 3]).await.0, 400);
        assert_eq!(house.post("/v1/nothing", "{}").await, 404);
        assert_eq!(house.stats().await.accepted_count, 0);
    }

    pub async fn a_browser_may_ask_and_send_from_another_site(house: &House) {
        let ask = "OPTIONS /v1/t HTTP/1.1\r\nOrigin: https://shop.example\r\n\
                   Access-Control-Request-Method: POST\r\n\
                   Access-Control-Request-Headers: authorization,content-type,x-retry-count,anonymousid";
        let (status, answer) = house.send(ask, b"").await;
        let line = |answer: &str, name: &str| {
            let found =
                answer.lines().find_map(|it| it.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
            found.unwrap_or_default()
        };
        assert_eq!(status, 200);
        assert_eq!(line(&answer, "access-control-allow-origin: "), "https://shop.example");
        assert_eq!(line(&answer, "access-control-allow-credentials: "), "true");
        assert_eq!(line(&answer, "access-control-allow-methods: "), "post");
        let headers = line(&answer, "access-control-allow-headers: ");
        for header in ["authorization", "content-type", "x-retry-count", "anonymousid"] {
            assert!(headers.contains(header), "{headers}");
        }
        let key = &house.key;
        let event = r#"{"anonymousId":"a","event":"A"}"#;
        for (key, expected) in [(key.as_str(), 200), ("wk_wrong", 401)] {
            let head = format!(
                "POST /v1/t HTTP/1.1\r\nOrigin: https://shop.example\r\nContent-Type: text/plain\r\n\
                 Authorization: Basic {key}"
            );
            let (status, answer) = house.send(&head, event.as_bytes()).await;
            assert_eq!(status, expected);
            let origin = line(&answer, "access-control-allow-origin: ");
            assert_eq!(origin, "https://shop.example", "even a refusal can be read");
            assert_eq!(line(&answer, "access-control-expose-headers: "), "retry-after");
        }
    }

    pub async fn other_vendors_paths_and_habits_are_understood(house: &House) {
        for (path, body) in [
            ("/v1/track/", r#"{"userId":"1","event":"A"}"#),
            ("//v1/batch", r#"{"batch":[{"type":"page","userId":"1"}]}"#),
            ("/v1/import", r#"{"batch":[{"type":"screen","userId":"1","name":"A"}]}"#),
            ("/api/s/track", r#"{"type":"track","userId":"1","event":"A"}"#),
            ("/api/s/s2s/page", r#"{"type":"page","userId":"1"}"#),
            ("/beacon/v1/batch", r#"{"batch":[{"type":"page","userId":"1"}]}"#),
            // PHP writes an empty object as an empty list.
            (
                "/v1/batch",
                r#"{"batch":[{"type":"track","userId":"1","event":"A","properties":[],"context":[]}],
              "context":[],"integrations":[]}"#,
            ),
            // A clock that cannot be read corrects nothing.
            ("/v1/track", r#"{"userId":"1","event":"A","sentAt":"soon"}"#),
            // Text that was cut within a character, after a byte order mark.
            ("/v1/track", "\u{feff}{\"userId\":\"1\",\"event\":\"A\",\"properties\":{\"a\":\"b\\ud83d\"}}"),
            // Traits in the context alone, and the offset of a device's clock.
            (
                "/v1/identify",
                r#"{"userId":"1","traits":{"plan":"pro"},"context":{"traits":{"email":"a@b.de","plan":"x","age":7},
              "timezone":"GMT+0200","groupId":"g"}}"#,
            ),
        ] {
            assert_eq!(house.post(path, body).await, 200, "{path}");
        }
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count), (10, 0), "{:?}", house.rejected().await);
        let person = house.lookup("a@b.de").await.unwrap();
        assert_eq!(person.traits_json, r#"{"age":7,"plan":"pro"}"#);
        assert_eq!(person.time_zone, "Etc/GMT-2");
        assert_eq!(house.post("/v1/nothing/", "{}").await, 404);
    }

    pub async fn a_picture_carries_one_event(house: &House) {
        let event = format!(
            r#"{{"writeKey":"{}","userId":"1","event":"Email Opened ÿ?>","properties":{{}}}}"#,
            house.key
        );
        let standard = base64::engine::general_purpose::STANDARD.encode(&event).replace('=', "%3D");
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&event);
        for data in [standard, url_safe] {
            let (status, answer) =
                house.send(&format!("GET /v1/pixel/track?data={data} HTTP/1.1"), b"").await;
            assert_eq!(status, 200);
            assert!(answer.contains("image/gif") && answer.contains("GIF89a"));
        }
        assert_eq!(house.send("GET /v1/pixel/track?data=%22 HTTP/1.1", b"").await.0, 400);
        assert_eq!(house.send("GET /v1/pixel/track HTTP/1.1", b"").await.0, 400);
        assert_eq!(house.stats().await.accepted_count, 2);
    }

    pub async fn libraries_find_their_settings(house: &House) {
        let key = &house.key;
        let (status, answer) =
            house.send(&format!("GET /sourceConfig/?p=npm&v=3&writeKey={key} HTTP/1.1"), b"").await;
        assert!(status == 200 && answer.contains(r#""destinations":[]"#), "{answer}");
        assert_eq!(house.send("GET /sourceConfig?writeKey=x HTTP/1.1", b"").await.0, 401);
        assert_eq!(house.send("GET /v1/projects/x/settings HTTP/1.1", b"").await.0, 401);
    }

    pub async fn a_zone_that_does_not_exist_costs_that_profile_only(house: &House) {
        let page = |who: &str, zone: &str| {
            format!(r#"{{"type":"page","anonymousId":"{who}","context":{{"timezone":"{zone}"}}}}"#)
        };
        let batch = format!(
            r#"{{"batch":[{},{},{}]}}"#,
            page("a", "Mars/Olympus"),
            page("b", "Europe/Madrid"),
            page("a", "Mars/Olympus")
        );
        assert_eq!(house.post("/v1/batch", &batch).await, 200);
        let (a, b) = (house.lookup("a").await.unwrap(), house.lookup("b").await.unwrap());
        assert_eq!((a.time_zone.as_str(), a.time_zone_source.as_str()), ("UTC", "workspace"));
        assert_eq!((b.time_zone.as_str(), b.time_zone_source.as_str()), ("Europe/Madrid", "context"));
        let noted = house.rejected().await;
        assert_eq!(noted.len(), 1);
        assert!(noted[0].taken && noted[0].field == "context.timezone");
        let stats = house.stats().await;
        assert_eq!((stats.accepted_count, stats.rejected_count), (3, 0));
    }
}
