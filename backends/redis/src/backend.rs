//! The store as the engine sees it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::FromRedisValue;
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Durability, Head, Health, Message, Page, Query, Record,
    RunKey, Seq, StoreInfo, Tally, Timestamp, Verdict,
};

use crate::address::Address;
use crate::fault::{IDENTITY_LOST, Stage};
use crate::hint::Hints;
use crate::identity::{self, Description};
use crate::known::KnownHeads;
use crate::layout::{Layout, run_text};
use crate::link::{Arguments, Link};
use crate::options::RedisOptions;
use crate::script::{self, Script};
use crate::server::Server;

/// How many runs one script call deletes: longer calls would hold up everybody else.
const REMOVE_MAX: usize = 100;
/// A server that answers later than this is shown as degraded.
const SLOW: Duration = Duration::from_millis(500);
/// The shortest wait for something that is due already: whoever asked has to claim it, or cannot.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// A store in Redis, shared by any number of workers.
///
/// Dropping it closes its connections. Nothing is lost by that: whatever was acknowledged is stored.
#[derive(Debug)]
pub struct RedisBackend {
    pub(crate) link: Link,
    pub(crate) layout: Layout,
    pub(crate) store: Description,
    pub(crate) options: RedisOptions,
    pub(crate) known: KnownHeads,
    hints: Hints,
}

impl RedisBackend {
    /// Opens the store at a URL, or makes it when there is none:
    ///
    /// `redis://[user[:password]@]host[:port][/db]`, `rediss://…` (feature `tls`) or
    /// `redis+unix:///path/to/socket`, then `?` and options joined by `&`, see [`RedisOptions`]. Special characters in
    /// user and password are percent-encoded; a socket takes `db`, `user` and `password` as options.
    ///
    /// # Errors
    /// `Definite`: of kind `Refused` when the URL, the login, the server's settings or the store's form do not fit, and
    /// the message says what to change; `IdentityLost` when another store was expected or parts of it are gone;
    /// `Unavailable` or `Timeout` when the server cannot be reached: try again.
    pub async fn open(url: &str, options: RedisOptions) -> Result<Self, BackendError> {
        let (address, options) = Address::parse(url, options)?;
        let link = Link::new(address, &options)?;
        Server::ask(&link).await?.check(&options)?;
        let store = identity::establish(&link, &options).await?;
        let layout = Layout { prefix: options.prefix.clone(), shards: store.shards };
        Ok(Self { link, layout, store, options, known: KnownHeads::default(), hints: Hints::default() })
    }

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        shard: u16,
        arguments: &Arguments,
        stage: Stage,
    ) -> Result<T, BackendError> {
        self.link.run(script, &self.layout.shard_mark(shard), &self.store.id, arguments, stage).await
    }

    /// The server's clock.
    async fn now(&self) -> Result<Timestamp, BackendError> {
        let (seconds, micros): (i64, i64) = self.link.query(&redis::cmd("TIME"), Stage::Reading).await?;
        Ok(Timestamp(seconds * 1000 + micros / 1000 + self.options.shift()))
    }

    /// When the next run of any shard has to be looked at; `None` when none has.
    async fn next_due_at(&self) -> Result<Option<Timestamp>, BackendError> {
        let first = (0..self.layout.shards).map(async |shard| {
            let mut range = redis::cmd("ZRANGE");
            range.arg(self.layout.shard_key(shard, "later")).arg(0).arg(0).arg("WITHSCORES");
            self.link.query::<Vec<(String, f64)>>(&range, Stage::Reading).await
        });
        let firsts = try_join_all(first).await?;
        let times = firsts.into_iter().flatten().map(|(_, at)| at);
        // Scores are whole milliseconds within the range that a double keeps exactly.
        Ok(times.min_by(f64::total_cmp).map(|at| Timestamp(at as i64)))
    }

    async fn wait_until_due(&self, up_to: Duration) {
        let wait = match (self.next_due_at().await, self.now().await) {
            (Ok(Some(at)), Ok(now)) => Duration::from_millis(at.since_ms(now)).max(WAIT_MIN),
            _ => up_to,
        };
        tokio::time::sleep(wait.min(up_to)).await;
    }

    fn facts(&self, server: &Server, latency: Duration) -> BTreeMap<String, String> {
        let unknown = || "unknown".to_owned();
        let of_server = |name: &str| server.fact(name).map_or_else(unknown, str::to_owned);
        let aof = server.append_only_file().map_or_else(unknown, str::to_owned);
        BTreeMap::from([
            ("location".to_owned(), self.link.address().to_string()),
            ("prefix".to_owned(), self.layout.prefix.clone()),
            ("shards".to_owned(), self.layout.shards.to_string()),
            ("created_at".to_owned(), self.store.created_at.0.to_string()),
            ("redis_version".to_owned(), of_server("redis_version")),
            ("role".to_owned(), of_server("role")),
            ("maxmemory_policy".to_owned(), server.policy().map_or_else(unknown, str::to_owned)),
            ("append_only_file".to_owned(), aof),
            ("used_memory".to_owned(), of_server("used_memory")),
            ("maxmemory".to_owned(), of_server("maxmemory")),
            ("latency_us".to_owned(), latency.as_micros().to_string()),
        ])
    }
}

#[async_trait]
impl Backend for RedisBackend {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        self.write(batches).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        let found = self.heads(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().flatten().next().map(|stored| stored.head))
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.records(key, from, limit).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        self.messages(key, limit).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.page(query, after, limit).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let mut parts: Vec<Vec<&RunKey>> = vec![Vec::new(); usize::from(self.layout.shards)];
        for key in keys {
            parts[usize::from(self.layout.shard_of(key))].push(key);
        }
        let mut removed = 0;
        for (shard, part) in (0..).zip(parts) {
            for some in part.chunks(REMOVE_MAX) {
                let mut arguments = Arguments::default();
                arguments.push_number(self.options.shift());
                for key in some {
                    arguments.push(run_text(key));
                }
                match self.run::<usize>(&script::REMOVE, shard, &arguments, Stage::Writing).await {
                    Ok(count) => removed += count,
                    Err(BackendError::Definite(fault)) if removed > 0 => {
                        return Err(BackendError::Indefinite(fault));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(removed)
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let asked = Instant::now();
        let now = self.now().await?;
        let latency = asked.elapsed();
        let server = Server::ask(&self.link).await?;
        let marks = join_all((0..self.layout.shards).map(|shard| self.check_shard(shard))).await;
        let health = if self.link.is_lost() {
            Health::Poisoned(IDENTITY_LOST.to_owned())
        } else if let Some(error) = marks.into_iter().find_map(Result::err) {
            Health::Degraded(error.to_string())
        } else if latency > SLOW {
            Health::Degraded(format!("Redis took {} ms to tell the time", latency.as_millis()))
        } else {
            server.health()
        };
        let durability = if self.options.allow_eviction && server.policy() != Some("noeviction") {
            Durability::D0
        } else {
            server.durability()
        };
        Ok(StoreInfo {
            id: self.store.id,
            backend: "redis".to_owned(),
            durability,
            exclusive: false,
            gathers: false,
            now,
            health,
            facts: self.facts(&server, latency),
        })
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        self.count().await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        self.lease_due(claim).await
    }

    async fn changed(&self, up_to: Duration) {
        self.hints.listen(self.link.client(), self.layout.channel(), self.link.connect_timeout());
        let told = self.hints.told().notified();
        let waited = async {
            tokio::select! {
                () = told => {}
                () = self.wait_until_due(up_to) => {}
            }
        };
        // Whatever the server does meanwhile, the wait ends when it was promised to.
        let _ = tokio::time::timeout(up_to, waited).await;
    }
}
