//! The first page of a list that is watched.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use stepwell::Error;
use stepwell::contract::{Order, RunKey, TenantId, Version};

use crate::app::App;
use crate::filter::Filter;
use crate::hub::{Hub, Looked, Seen, Topic, Topics, frame};
use crate::listing;
use crate::view::group::RunName;
use crate::view::run::Run;

/// Which list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListAsked {
    /// Whose runs; `None` for everyone's.
    pub(crate) tenant: Option<TenantId>,
    /// Which of them: a query that was understood. Spans in it count back from each look.
    pub(crate) query: String,
}

/// The first page of a list as it was seen last, the newest run first.
#[derive(Debug)]
pub(crate) struct List {
    /// How many pages were seen before it.
    nth: u64,
    runs: Vec<ListedRun>,
    /// What there is to tell those who know the page before.
    news: Bytes,
}

/// A run of a page.
#[derive(Debug, Clone)]
struct ListedRun {
    key: RunKey,
    /// Which write of its head it was.
    version: Version,
    /// The event that tells its view.
    run: Bytes,
}

impl List {
    /// The events for someone who was told `before`, if anything: each run that is another now, and which runs there are when
    /// that has changed.
    pub(crate) fn news_since(&self, before: Option<&Self>) -> Bytes {
        match before {
            Some(before) if before.nth + 1 == self.nth => self.news.clone(),
            before => news(before.map(|before| before.runs.as_slice()), &self.runs),
        }
    }
}

fn news(before: Option<&[ListedRun]>, now: &[ListedRun]) -> Bytes {
    let told: HashMap<&RunKey, Version> =
        before.into_iter().flatten().map(|listed| (&listed.key, listed.version)).collect();
    let changed = now.iter().filter(|listed| told.get(&listed.key) != Some(&listed.version));
    let is_same_page = before.is_some_and(|before| {
        before.len() == now.len() && before.iter().zip(now).all(|(before, now)| before.key == now.key)
    });
    let names = || now.iter().map(|listed| RunName::of(&listed.key)).collect::<Vec<_>>();
    let page = (!is_same_page).then(|| frame::event("list", &json!({ "runs": names() })));
    frame::joined(changed.map(|listed| &listed.run).chain(&page)).unwrap_or_default()
}

impl Topic for ListAsked {
    type Seen = List;
    const EVERY: Duration = Duration::from_secs(1);

    fn topics(hub: &Hub) -> &Topics<Self, List> {
        &hub.lists
    }

    async fn look(&self, app: &App, before: Seen<List>) -> Result<Looked<List>, Error> {
        // It was read before, when somebody asked for the list.
        let Ok(filter) = Filter::parse(&self.query, app.engine().now()) else { return Ok(Looked::Gone) };
        let (engine, limit) = (app.engine(), listing::PAGE_DEFAULT);
        let page = listing::page(engine, self.tenant.as_ref(), &filter, Order::Newest, None, limit).await?;
        let known: HashMap<(&RunKey, Version), &ListedRun> = before
            .iter()
            .flat_map(|before| &before.runs)
            .map(|listed| ((&listed.key, listed.version), listed))
            .collect();
        let runs: Vec<ListedRun> = page
            .items
            .iter()
            .map(|head| match known.get(&(&head.key, head.version)) {
                Some(listed) => (*listed).clone(),
                None => ListedRun {
                    key: head.key.clone(),
                    version: head.version,
                    run: frame::event("run", &Run::of(head)),
                },
            })
            .collect();
        let news = news(before.as_ref().map(|before| before.runs.as_slice()), &runs);
        if before.is_some() && news.is_empty() {
            return Ok(Looked::Same);
        }
        let nth = before.map_or(0, |before| before.nth + 1);
        Ok(Looked::New(List { nth, runs, news }))
    }
}

#[cfg(test)]
mod tests {
    use stepwell::contract::RunId;

    use super::*;

    fn page(nth: u64, before: Option<&List>, runs: &[(&str, u64)]) -> List {
        let listed = |(run, counter): &(&str, u64)| ListedRun {
            key: RunKey::new(TenantId::default(), RunId::new(*run).expect("an id")),
            version: Version { counter: *counter, nonce: 0 },
            run: frame::event("run", &format!("{run} {counter}")),
        };
        let runs: Vec<ListedRun> = runs.iter().map(listed).collect();
        let news = news(before.map(|before| before.runs.as_slice()), &runs);
        List { nth, runs, news }
    }

    fn told(news: &Bytes) -> Vec<&str> {
        let text = std::str::from_utf8(news).expect("text");
        let data = text.split("\n\n").filter_map(|event| event.split_once("data: "));
        data.map(|(_, data)| data).filter(|data| data.starts_with('"')).collect()
    }

    #[test]
    fn who_missed_a_page_is_told_what_was_on_it_and_nothing_twice() {
        let first = page(0, None, &[("a", 1), ("b", 1)]);
        let second = page(1, Some(&first), &[("a", 1), ("b", 2)]);
        let third = page(2, Some(&second), &[("c", 1), ("a", 1), ("b", 2)]);
        assert_eq!(told(&first.news_since(None)), ["\"a 1\"", "\"b 1\""]);
        assert_eq!(told(&second.news_since(Some(&first))), ["\"b 2\""]);
        assert_eq!(told(&third.news_since(Some(&second))), ["\"c 1\""]);
        assert_eq!(told(&third.news_since(Some(&first))), ["\"c 1\"", "\"b 2\""]);
        let lists = |news: &Bytes| String::from_utf8_lossy(news).matches("event: list").count();
        assert_eq!([&first, &second, &third].map(|page| lists(&page.news)), [1, 0, 1]);
    }
}
