//! What is watched: runs, lists and counts. However many watch the same thing, one poller looks at it, no longer than somebody
//! watches and never more than a small part of the time. Watchers compare what they have told with what is so now, so that a
//! slow one misses nothing but what has been overtaken.

mod counts;
pub(crate) mod frame;
mod list;
mod run;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stepwell::Error;
use stepwell::contract::RunKey;
use tokio::sync::watch;

use crate::app::App;
use crate::problem::{Code, Problem};

pub(crate) use counts::{Counts, CountsAsked};
pub(crate) use list::{List, ListAsked};
pub(crate) use run::{RunSeen, SeenRecord};

/// Most things of a sort watched at once, each by a poller of its own.
const TOPICS_MAX: usize = 1_000;
/// A poller rests at least so many times as long as its look took.
const RESTS: u32 = 20;
/// The longest rest: what is watched is seen after that at the latest, as long as the store answers.
const REST_MAX: Duration = Duration::from_secs(15);

/// What is so now; nothing before the first look.
type Seen<T> = Option<Arc<T>>;
/// One who watches.
pub(crate) type Watcher<T> = watch::Receiver<Seen<T>>;

/// Where all who watch something are told of it.
type Told<T> = watch::Sender<Seen<T>>;

/// Something that can be watched.
pub(crate) trait Topic: Eq + Hash + Clone + Send + Sync + 'static {
    /// What is told of it.
    type Seen: Send + Sync + 'static;
    /// The shortest time between two looks.
    const EVERY: Duration;

    /// Those of this sort that are watched.
    fn topics(hub: &Hub) -> &Topics<Self, Self::Seen>;

    /// Looks at it, knowing what was seen before.
    fn look(
        &self,
        app: &App,
        before: Seen<Self::Seen>,
    ) -> impl Future<Output = Result<Looked<Self::Seen>, Error>> + Send;
}

/// What a look came to.
#[derive(Debug)]
pub(crate) enum Looked<T> {
    /// Something else than before.
    New(T),
    /// The same as before.
    Same,
    /// It is not there.
    Gone,
}

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    runs: Topics<RunKey, RunSeen>,
    lists: Topics<ListAsked, List>,
    counts: Topics<CountsAsked, Counts>,
}

/// What is watched of one sort.
#[derive(Debug)]
pub(crate) struct Topics<K, T>(Mutex<HashMap<K, Told<T>>>);

impl<K, T> Default for Topics<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, T> Topics<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Told<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches something; the second is there when nobody looks at it yet.
    fn join(&self, key: &K) -> Result<(Watcher<T>, Option<Told<T>>), Problem> {
        let mut topics = self.lock();
        if let Some(topic) = topics.get(key) {
            let mut watcher = topic.subscribe();
            // What is known already is new to this one.
            watcher.mark_changed();
            return Ok((watcher, None));
        }
        if topics.len() >= TOPICS_MAX {
            let detail = format!("{TOPICS_MAX} different things are being watched");
            return Err(Problem::new(Code::TooMany, detail));
        }
        let (topic, watcher) = watch::channel(None);
        topics.insert(key.clone(), topic.clone());
        Ok((watcher, Some(topic)))
    }

    /// Tells those who watch. Returns whether there are any: when there are none, it is watched no longer.
    fn tell(&self, key: &K, seen: Seen<T>) -> bool {
        let mut topics = self.lock();
        let Some(topic) = topics.get(key) else { return false };
        if topic.receiver_count() == 0 {
            topics.remove(key);
            return false;
        }
        if seen.is_some() {
            topic.send_replace(seen);
        }
        true
    }

    /// Ends it for all who watch.
    fn end(&self, key: &K) {
        self.lock().remove(key);
    }
}

impl Hub {
    /// How many different things are watched.
    pub(crate) fn topics(&self) -> usize {
        self.runs.lock().len() + self.lists.lock().len() + self.counts.lock().len()
    }

    /// Watches something, by the poller that it has already, or else by one of its own.
    pub(crate) fn watch<T: Topic>(app: &App, topic: &T) -> Result<Watcher<T::Seen>, Problem> {
        let (watcher, unseen) = T::topics(app.hub()).join(topic)?;
        if let Some(watched) = unseen {
            tokio::spawn(poll(app.clone(), topic.clone(), watched));
        }
        Ok(watcher)
    }
}

/// Looks again and again, as long as somebody watches: what nobody watches any more is let go at once, so that whoever opens
/// streams and leaves does not fill the table.
async fn poll<T: Topic>(app: App, topic: T, watched: Told<T::Seen>) {
    let topics = T::topics(app.hub());
    let mut before: Seen<T::Seen> = None;
    loop {
        let since = Instant::now();
        let looked = tokio::select! {
            looked = topic.look(&app, before.clone()) => looked,
            () = watched.closed() => Ok(Looked::Same),
        };
        let new = match looked {
            Ok(Looked::New(seen)) => Some(Arc::new(seen)),
            Ok(Looked::Same) => None,
            Ok(Looked::Gone) => return topics.end(&topic),
            Err(error) => {
                // Those who watch wait: the store may answer the next time.
                tracing::debug!(%error, "what is watched could not be read");
                None
            }
        };
        if new.is_some() {
            before.clone_from(&new);
        }
        if !topics.tell(&topic, new) {
            return;
        }
        let rest = (since.elapsed() * RESTS).clamp(T::EVERY, REST_MAX);
        tokio::select! {
            () = app.stopping().cancelled() => return topics.end(&topic),
            () = watched.closed() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}
