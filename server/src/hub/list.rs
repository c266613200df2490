//! The first page of a list that is watched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stepwell::Error;
use stepwell::contract::{Order, RunKey, TenantId, Version};

use crate::app::App;
use crate::filter::Filter;
use crate::hub::{Hub, Looked, Seen, Topic, Topics, run};
use crate::listing;
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
    pub(crate) runs: Vec<ListedRun>,
}

/// A run of a page.
#[derive(Debug, Clone)]
pub(crate) struct ListedRun {
    pub(crate) key: RunKey,
    /// Which write of its head it was.
    pub(crate) version: Version,
    /// Its view, as JSON.
    pub(crate) run: Arc<str>,
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
                None => {
                    ListedRun { key: head.key.clone(), version: head.version, run: run::json(&Run::of(head)) }
                }
            })
            .collect();
        let is_same = before.as_ref().is_some_and(|before| {
            before.runs.len() == runs.len()
                && before.runs.iter().zip(&runs).all(|(a, b)| a.key == b.key && a.version == b.version)
        });
        Ok(if is_same { Looked::Same } else { Looked::New(List { runs }) })
    }
}
