//! Stores without an engine: what the disk and the store allow when one thread commits for all.

mod file;
mod redis;
mod sled;

use std::io;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub(crate) use self::file::FileLog;
pub(crate) use self::redis::{RedisLists, Server};
pub(crate) use self::sled::SledLog;

/// Most records in one commit.
const GROUP_MAX: usize = 4_096;

/// A record on its way, and whose it is.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) run: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Makes a group of records durable, all at once.
pub(crate) trait Sink: Send + 'static {
    fn commit(&mut self, group: &[Entry]) -> io::Result<()>;
}

/// The thread that commits. It takes whatever came in during its last commit; nobody waits for a timer.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: mpsc::UnboundedSender<(Entry, oneshot::Sender<()>)>,
    thread: JoinHandle<io::Result<()>>,
}

/// The way to the committer.
#[derive(Debug, Clone)]
pub(crate) struct Appender(mpsc::UnboundedSender<(Entry, oneshot::Sender<()>)>);

impl Committer {
    pub(crate) fn start(mut sink: impl Sink) -> io::Result<Self> {
        let (queue, mut entries) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("bare-commit".to_owned()).spawn(move || {
            let mut waiting: Vec<(Entry, oneshot::Sender<()>)> = Vec::with_capacity(GROUP_MAX);
            let (mut group, mut replies) = (Vec::with_capacity(GROUP_MAX), Vec::with_capacity(GROUP_MAX));
            while entries.blocking_recv_many(&mut waiting, GROUP_MAX) > 0 {
                for (entry, reply) in waiting.drain(..) {
                    group.push(entry);
                    replies.push(reply);
                }
                sink.commit(&group)?;
                group.clear();
                for reply in replies.drain(..) {
                    // Who asked may have gone with the end of the measurement.
                    let _ = reply.send(());
                }
            }
            Ok(())
        })?;
        Ok(Self { queue, thread })
    }

    pub(crate) fn appender(&self) -> Appender {
        Appender(self.queue.clone())
    }

    /// Ends the thread, once nobody else has a way to it, and says how it ended.
    pub(crate) fn finish(self) -> io::Result<()> {
        drop(self.queue);
        self.thread.join().map_err(|_| io::Error::other("the bare committer panicked"))?
    }
}

impl Appender {
    /// Returns once the record is durable.
    pub(crate) async fn append(&self, run: u64, bytes: Vec<u8>) -> io::Result<()> {
        let gone = || io::Error::other("the bare committer has ended");
        let (reply, done) = oneshot::channel();
        self.0.send((Entry { run, bytes }, reply)).map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }
}
