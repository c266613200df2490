//! The connection: one, shared by all calls, built anew when it broke or fell silent. No call is ever repeated.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, Value};
use stepwell_contract::{BackendError, Fault, FaultKind, StoreId};
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::fault::{self, IDENTITY_LOST, Stage};
use crate::options::RedisOptions;
use crate::script::Script;
use crate::tls;

/// After so many calls in a row without an answer the connection counts as dead, though nobody closed it.
const SILENT_CALLS_MAX: u32 = 3;

/// A connection that mends itself between calls.
pub(crate) struct Link {
    address: Address,
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
    open: Mutex<Option<Open>>,
    /// Held while one call connects; the others wait for its result.
    connecting: tokio::sync::Mutex<Option<Failure>>,
    lost: AtomicBool,
}

/// The client library's types know the password: only the address is shown.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// A connection and what is known of its life.
#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    silent: std::sync::Arc<AtomicU32>,
}

/// When the last try to connect failed, and why.
#[derive(Debug)]
struct Failure {
    at: Instant,
    error: RedisError,
}

impl Link {
    pub(crate) fn new(address: Address, options: &RedisOptions) -> Result<Self, BackendError> {
        let client = tls::client(address.connection_info()?, options)?;
        Ok(Self {
            address,
            client,
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            open: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(None),
            lost: AtomicBool::new(false),
        })
    }

    /// The address; its text holds no secret.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A client for connections that serve another purpose.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Whether the store was found to be another one than was opened.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Ends writing for good: the store is not the one that was opened.
    pub(crate) fn lose(&self, stage: Stage) -> BackendError {
        if !self.lost.swap(true, Ordering::SeqCst) {
            tracing::error!(address = %self.address, "{IDENTITY_LOST}");
        }
        let fault = Fault::new(FaultKind::IdentityLost, IDENTITY_LOST);
        if stage == Stage::Writing { BackendError::Poisoned(fault) } else { BackendError::Definite(fault) }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// By the table of `fault`.
    pub(crate) async fn query<T: FromRedisValue>(&self, cmd: &Cmd, stage: Stage) -> Result<T, BackendError> {
        self.convert(stage, self.send(cmd, stage).await)
    }

    /// Sends commands that only read, one after the other, in one go.
    ///
    /// # Errors
    /// As for [`query`](Self::query).
    pub(crate) async fn read_all<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, BackendError> {
        let open = self.connection().await?;
        let mut connection = open.connection.clone();
        let answer = timeout(self.outer_timeout(), pipe.query_async::<Value>(&mut connection)).await;
        self.convert(Stage::Reading, self.weigh(&open, answer, Stage::Reading))
    }

    /// Runs a script on one shard: `mark` is the key of the shard's mark, which the script wants to hold `id`.
    ///
    /// # Errors
    /// As for [`query`](Self::query); `Poisoned(IdentityLost)` when the mark is not there.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        mark: &str,
        id: &StoreId,
        arguments: &Arguments,
        stage: Stage,
    ) -> Result<T, BackendError> {
        if self.is_lost() {
            return Err(self.lose(stage));
        }
        let mut cmd = Cmd::with_capacity(6 + arguments.ends.len(), arguments.bytes.len() + 256);
        cmd.arg("EVALSHA").arg(&script.digest).arg(1).arg(mark).arg(id.to_string());
        for argument in arguments.iter() {
            cmd.arg(argument);
        }
        let mut answer = self.send(&cmd, stage).await;
        if let Err(Failed::Server(error)) = &answer
            && error.code() == Some("NOSCRIPT")
        {
            // A restart, a failover or SCRIPT FLUSH. The script did not run, so running it now is no repetition.
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(&script.source);
            self.query::<Value>(&load, Stage::Reading).await?;
            answer = self.send(&cmd, stage).await;
        }
        self.convert(stage, answer)
    }

    async fn send(&self, cmd: &Cmd, stage: Stage) -> Result<Value, Failed> {
        let open = self.connection().await.map_err(Failed::Other)?;
        let mut connection = open.connection.clone();
        let answer = timeout(self.outer_timeout(), cmd.query_async::<Value>(&mut connection)).await;
        self.weigh(&open, answer, stage)
    }

    fn convert<T: FromRedisValue>(
        &self,
        stage: Stage,
        answer: Result<Value, Failed>,
    ) -> Result<T, BackendError> {
        let value = answer.map_err(|failed| match failed {
            Failed::Server(error) if error.code() == Some("IDENTITY") => self.lose(stage),
            Failed::Server(error) => fault::classify(error, stage),
            Failed::Other(error) => error,
        })?;
        redis::from_redis_value(value).map_err(|error| fault::classify(error.into(), stage))
    }

    /// Bounds also what the client library does not: the wait for a place in its queue.
    fn outer_timeout(&self) -> Duration {
        self.response_timeout + Duration::from_millis(500)
    }

    /// Draws the conclusion about the connection from an answer, or from none.
    fn weigh(
        &self,
        open: &Open,
        answer: Result<Result<Value, RedisError>, tokio::time::error::Elapsed>,
        stage: Stage,
    ) -> Result<Value, Failed> {
        let silent = match &answer {
            Ok(Ok(_)) => false,
            Ok(Err(error)) if error.code().is_some() => {
                if error.code() == Some("READONLY") {
                    // The primary was demoted: the address may lead to its successor now.
                    self.discard(open);
                }
                false
            }
            Ok(Err(error)) if error.is_timeout() => true,
            Ok(Err(_)) => {
                self.discard(open);
                false
            }
            Err(_) => true,
        };
        if !silent {
            open.silent.store(0, Ordering::Relaxed);
        } else if open.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS_MAX {
            tracing::warn!(address = %self.address, "Redis is silent: connecting anew");
            self.discard(open);
        }
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Failed::Server(error)),
            Err(_) => Err(Failed::Other(fault::late(stage))),
        }
    }

    fn discard(&self, dead: &Open) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|open| std::sync::Arc::ptr_eq(&open.silent, &dead.silent)) {
            *open = None;
        }
    }

    fn opened(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connection(&self) -> Result<Open, BackendError> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let since = Instant::now();
        let mut last = self.connecting.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        // Whoever waited while another call tried in vain shares its result, so that a crowd does not queue up for
        // one time-out each.
        if let Some(failure) = last.as_ref().filter(|failure| failure.at >= since) {
            return Err(fault::classify(failure.error.clone(), Stage::Connecting));
        }
        match self.connect().await {
            Ok(connection) => {
                *last = None;
                let open = Open { connection, silent: std::sync::Arc::default() };
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                *last = Some(Failure { at: Instant::now(), error: error.clone() });
                Err(fault::classify(error, Stage::Connecting))
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(1024)
            .set_write_backpressure_boundary(1 << 20);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        match timeout(self.connect_timeout + Duration::from_millis(500), connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

/// Why there is no value.
enum Failed {
    /// The server or the connection said so: to be judged.
    Server(RedisError),
    /// Judged already.
    Other(BackendError),
}

/// The arguments of a script, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arguments {
    pub(crate) fn push(&mut self, argument: impl AsRef<[u8]>) -> &mut Self {
        self.bytes.extend_from_slice(argument.as_ref());
        self.ends.push(self.bytes.len());
        self
    }

    pub(crate) fn push_number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        self.push_with(|bytes| {
            use std::io::Write as _;
            write!(bytes, "{number}").expect("a vector takes every byte");
        })
    }

    /// Appends one argument that the closure writes.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self
    }

    pub(crate) fn append(&mut self, more: Self) -> &mut Self {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&more.bytes);
        self.ends.extend(more.ends.iter().map(|end| end + before));
        self
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}
