//! The pages of a run: whole for every state, safe whatever runs say, bounded however large they are.

mod markup;
#[path = "run_page/theatre.rs"]
mod theatre;

use std::time::Instant;

use axum::http::StatusCode;
use markup::hostile;
use serde_json::{Value, json};
use stepwell::contract::Status;
use theatre::{TABS, Theatre, VERBS, key, send};

/// Nothing inline, nothing from elsewhere, and no name twice.
fn assert_clean(text: &str, of: &str) {
    markup::check(text, "", of);
    let ids: Vec<_> = text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "{of} has the same id twice: {ids:?}");
}

#[tokio::test]
async fn every_tab_is_whole_for_a_run_of_every_status_in_both_languages() {
    let theatre = Theatre::new().await;
    for (status, key) in theatre.one_of_each().await {
        for tab in TABS {
            for language in ["en", "ja"] {
                let path = format!("/runs/{}{tab}?lang={language}", key.run);
                let shown = theatre.get(&path).await;
                assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
                assert!(shown.text.contains(&format!("class=\"status {}\"", status.as_str())), "{path}");
                assert!(shown.text.contains(&format!("<html lang=\"{language}\"")), "{path}");
                assert!(shown.text.trim_end().ends_with("</html>"), "{path}");
                assert_clean(&shown.text, &path);
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_node_is_in_the_graph_the_steps_and_the_timeline() {
    let theatre = Theatre::new().await;
    let key = theatre.run("everything", "all", &json!({})).await;
    theatre.until_it_waits_for_a_signal(&key).await;
    let page = theatre.get("/runs/all").await.text;
    assert!(
        page.contains("name=\"name\" value=\"go\""),
        "the run waits for its signal, and offers to send it"
    );
    let graph = theatre.get("/runs/all/graph").await.text;
    for (step, mark) in [
        ("first", "succeeded"),
        ("right2", "succeeded"),
        ("each", "succeeded"),
        ("called", "succeeded"),
        ("route", "succeeded"),
        ("ship", "passed"),
        ("fly", "succeeded"),
        ("unfinished", "succeeded"),
        ("round", "succeeded"),
        ("nap", "succeeded"),
        ("sub", "succeeded"),
        ("go", "waits"),
    ] {
        let tile = graph.split("<g class=\"tile ").find(|tile| tile.contains(&format!("<title>{step}: ")));
        let tile = tile.unwrap_or_else(|| panic!("{step} is not in the graph"));
        assert!(
            tile.split('"').next().is_some_and(|class| class.contains(&format!("mark-{mark}"))),
            "{tile}"
        );
    }
    assert!(graph.contains("3 of 3 items"), "the map tells how many items it has");
    let steps = theatre.get("/runs/all/steps?step=*").await.text;
    let timeline = theatre.get("/runs/all/timeline").await.text;
    for step in ["first", "left", "right", "list", "sum", "fly", "nap", "wrap", "sub"] {
        assert!(steps.contains(&format!(">{step}</a>")), "{step} is not in the steps");
        assert!(timeline.contains(&format!(">{step}</a>")), "{step} is not in the timeline");
    }
    let items = theatre.get("/runs/all/steps?step=each").await.text;
    assert!(items.contains("each[2]") && items.contains("item 3 "), "items are there by place and name");
    let child = theatre.get("/runs/all/steps?step=sub").await.text;
    assert!(child.contains("href=\"/runs/all.sub\""), "the child run is linked");
}

#[tokio::test]
async fn what_runs_say_comes_out_as_text_in_every_tab() {
    let theatre = Theatre::new().await;
    let texts = hostile();
    let input = json!({ "fail": "flaky", "texts": texts, &texts[0]: 12_345_678_901_234_567_890_u64 });
    theatre.run("plain", "hostile", &input).await;
    theatre.engine.start_run("plain", "hostile-2", &json!({ "fail": "all" })).await.expect("started");
    theatre.until(&key("hostile-2"), Status::is_finished).await;
    let queries = [
        "",
        "?step=work&attempt=1&compare=2",
        "?step=*",
        "?step=%3Cscript%3E",
        "?text=%22%3E%3Cscript%3E",
        "?from=1",
    ];
    for run in ["hostile", "hostile-2"] {
        for (tab, query) in TABS.iter().flat_map(|tab| queries.iter().map(move |query| (tab, query))) {
            let path = format!("/runs/{run}{tab}{query}");
            let shown = theatre.get(&path).await;
            assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
            for text in texts.iter().filter(|text| text.contains('<')) {
                assert!(!shown.text.contains(text.as_str()), "{path} has {text:?} as it is");
            }
            assert_clean(&shown.text, &path);
        }
    }
    let logs = theatre.get("/runs/hostile/logs").await.text;
    assert!(logs.contains("&#60;script&#62;harm()"), "the lines are there, as text: {logs}");
    let data = theatre.get("/runs/hostile/data").await.text;
    assert!(data.contains("12345678901234567890"), "numbers stay exact");
    let raw = theatre.get("/runs/hostile/data/raw?of=input&secrets=true").await;
    assert_eq!(serde_json::from_str::<Value>(&raw.text).expect("JSON"), input);
}

#[tokio::test]
async fn a_button_is_there_for_what_the_table_of_verbs_allows_and_for_nothing_else() {
    let theatre = Theatre::new().await;
    let viewer = theatre.viewer();
    for (status, key) in theatre.one_of_each().await {
        let path = format!("/runs/{}", key.run);
        let page = theatre.get(&path).await.text;
        for (name, verb) in VERBS {
            let is_there = page.contains(&format!("data-verb=\"{name}\""));
            assert_eq!(is_there, verb.allowed(status).is_ok(), "{name} of a run that is {status}");
        }
        let seen = send(&viewer, "GET", &path, None).await.text;
        assert!(!seen.contains("data-verb="), "whoever only looks has no buttons");
        assert!(seen.contains("aria-disabled=\"true\""), "and is told why");
    }
}

#[tokio::test]
async fn a_failed_run_tells_why_and_opens_at_the_attempt_that_failed() {
    let theatre = Theatre::new().await;
    theatre.run("plain", "bad", &json!({ "fail": "no" })).await;
    let page = theatre.get("/runs/bad").await.text;
    assert!(page.contains("class=\"card diagnosis failed\""), "{page}");
    for part in
        ["What was seen", "What to do", "Trying again", "/codes/SW", "/groups/", "step=work&#38;attempt=1"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let steps = theatre.get("/runs/bad/steps").await.text;
    assert!(steps.contains("id=\"step\"") && steps.contains("NO_LUCK"), "the failed step is open");
    theatre.run("plain", "flaky", &json!({ "fail": "flaky" })).await;
    let two = theatre.get("/runs/flaky/steps?step=work&attempt=1&compare=2").await.text;
    let differing: Vec<_> = two.split("<tr class=\"differs\">").skip(1).collect();
    assert!(
        differing.iter().any(|row| row.contains("<code>first</code>") && row.contains("<code>second</code>"))
    );
    assert!(
        !differing.iter().any(|row| row.split("</tr>").next().is_some_and(|row| row.contains("Input hash")))
    );
}

#[tokio::test]
async fn a_run_is_told_and_forked_from_its_pages_and_wrong_json_changes_nothing() {
    let theatre = Theatre::new().await;
    let waiting = theatre.run("held", "told", &json!({ "a": 1 })).await;
    let wrong = theatre.post("/runs/told/signal", &[("name", "go"), ("value", "{")]).await;
    assert_eq!(wrong.location.as_deref(), Some("/runs/told"), "{wrong:?}");
    let again = [("step", "book"), ("id", "told-2"), ("input", "{"), ("reason", "a slip")];
    let wrong = theatre.post("/runs/told/fork", &again).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text.contains("id=\"input-error\"") && wrong.text.contains("a slip"),
        "what was filled in stays"
    );
    assert!(theatre.engine.get(&key("told-2")).await.expect("a store").is_none());
    let look = theatre.get("/runs/told/fork?step=book").await;
    assert_eq!(look.status, StatusCode::OK, "{}", look.text);
    assert_clean(&look.text, "the fork");
    let fields = [("step", "book"), ("id", "told-2"), ("input", "{\"a\":2}"), ("reason", "a slip")];
    let forked = theatre.post("/runs/told/fork", &fields).await;
    assert_eq!((forked.status, forked.location.as_deref()), (StatusCode::SEE_OTHER, Some("/runs/told-2")));
    let sent = theatre
        .post("/runs/told/signal", &[("name", "go"), ("value", "{\"by\":\"ann\"}"), ("id", "1")])
        .await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    theatre.until(&waiting, Status::is_finished).await;
    assert!(theatre.get("/runs/told/data").await.text.contains("ann"));
}

#[tokio::test]
async fn a_run_whose_workflow_is_not_here_has_all_its_pages() {
    let theatre = Theatre::new().await;
    theatre.run("plain", "foreign", &json!({})).await;
    let elsewhere = theatre.elsewhere().await;
    for tab in TABS {
        let shown = send(&elsewhere, "GET", &format!("/runs/foreign{tab}"), None).await;
        assert_eq!(shown.status, StatusCode::OK, "{tab}: {}", shown.text);
    }
    let steps = send(&elsewhere, "GET", "/runs/foreign/graph", None).await.text;
    assert!(steps.contains(">work</a>"), "the steps that the journal knows are there");
}

#[tokio::test]
async fn a_run_of_ten_thousand_items_has_pages_of_bounded_size() {
    const BYTES_MAX: usize = 400 << 10;
    let theatre = Theatre::new().await;
    let items: Vec<u32> = (0..10_000).collect();
    theatre.engine.start_run("many", "large", &items).await.expect("started");
    theatre.until(&key("large"), Status::is_finished).await;
    let more = [
        "/steps?step=pack",
        "/steps?step=pack&page=50",
        "/steps?step=pack[9999]",
        "/timeline?page=50",
        "/data?page=100",
    ];
    for tab in TABS.iter().chain(&more) {
        let begun = Instant::now();
        let shown = theatre.get(&format!("/runs/large{tab}")).await;
        println!("{tab:24} {:6} ms {:7} bytes", begun.elapsed().as_millis(), shown.text.len());
        assert_eq!(shown.status, StatusCode::OK, "{tab}");
        assert!(shown.text.len() < BYTES_MAX, "{tab}: {} bytes", shown.text.len());
    }
    let last = theatre.get("/runs/large/timeline?page=50").await.text;
    assert!(last.contains("page 50 of 50"), "every item is on some page");
}

#[tokio::test]
async fn secrets_in_values_are_shown_to_operators_who_ask_and_to_nobody_else() {
    let theatre = Theatre::new().await;
    theatre.run("plain", "secret", &json!({ "password": "hunter2-hunter2" })).await;
    let viewer = theatre.viewer();
    for path in ["/runs/secret", "/runs/secret/data", "/runs/secret/data/raw?of=input"] {
        let plain = theatre.get(path).await;
        assert_eq!(plain.status, StatusCode::OK, "{path}: {}", plain.text);
        assert!(!plain.text.contains("hunter2"), "{path}: {}", plain.text);
        let asked = format!("{path}{}secrets=true", if path.contains('?') { '&' } else { '?' });
        let seen = send(&viewer, "GET", &asked, None).await.text;
        assert!(!seen.contains("hunter2"), "{asked} shows it to whoever only looks: {seen}");
    }
    let asked = theatre.get("/runs/secret/data?secrets=true").await.text;
    assert!(asked.contains("hunter2"), "who may change the run may see what it works with: {asked}");
}
