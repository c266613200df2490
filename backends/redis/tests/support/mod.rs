//! Runs to write, and a proxy that misbehaves.
#![allow(dead_code)] // Each test binary uses its own part.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use stepwell_contract::{
    Batch, Claim, Fence, Head, Kind, Name, Payload, Record, RunId, RunKey, Seq, Status, TenantId, Timestamp,
    Version, WorkerId,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// A run that is due at once.
pub(crate) fn head(run: &str) -> Head {
    Head {
        key: RunKey::new(TenantId::default(), RunId::new(run).expect("valid")),
        version: Version { counter: 1, nonce: 7 },
        workflow: Name::new("order").expect("valid"),
        workflow_version: 1,
        queue: Name::new("default").expect("valid"),
        priority: 0,
        status: Status::Queued,
        wake_at: Some(Timestamp(0)),
        lease: None,
        fence: Fence(0),
        next_seq: Seq(1),
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        finished_at: None,
        tags: Arc::default(),
        summary: Payload::null(),
    }
}

/// The batch that follows the head with one record of so many bytes; moves the head on.
pub(crate) fn step(head: &mut Head, bytes: usize) -> Batch {
    let from = head.version;
    let payload = Payload::encode(&"x".repeat(bytes)).expect("within the limit");
    let record = Record::new(head.next_seq, Kind::of("step"), Timestamp(1), 1, payload);
    head.version = from.next(from.counter * 31);
    head.next_seq = head.next_seq.plus(1);
    Batch::replace(from, head.clone(), vec![record])
}

pub(crate) fn claim(worker: &str, limit: usize, nonce: u64) -> Claim {
    Claim {
        worker: WorkerId::new(worker).expect("valid"),
        ttl_ms: 60_000,
        queues: Vec::new(),
        workflows: Vec::new(),
        tenant: None,
        limit,
        nonce,
    }
}

const FORWARD: u8 = 0;
const CUT: u8 = 1;
const SILENT: u8 = 2;

/// Stands between client and server, on loopback.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let mode = Arc::new(AtomicU8::new(FORWARD));
        let modes = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), Arc::clone(&modes)));
            }
        });
        Self { port, mode }
    }

    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("redis://127.0.0.1:{}/?prefix={prefix}&shards=1", self.port)
    }

    /// Passes on the next request and breaks the connection in place of its reply.
    pub(crate) fn cut_the_next_reply(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
    }

    /// Swallows everything. Connections that lived through this never speak again.
    pub(crate) fn fall_silent(&self) {
        self.mode.store(SILENT, Ordering::SeqCst);
    }

    pub(crate) fn heal(&self) {
        self.mode.store(FORWARD, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf, mode: Arc<AtomicU8>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut dead = mode.load(Ordering::SeqCst) == SILENT;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read) = read else { return };
                dead |= mode.load(Ordering::SeqCst) == SILENT;
                if read == 0 || (!dead && server.write_all(&up[..read]).await.is_err()) {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read) = read else { return };
                if mode.compare_exchange(CUT, FORWARD, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    return;
                }
                dead |= mode.load(Ordering::SeqCst) == SILENT;
                if read == 0 || (!dead && client.write_all(&down[..read]).await.is_err()) {
                    return;
                }
            }
        }
    }
}
