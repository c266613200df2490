//! A redis-server of one's own, for tests and measurements: on a socket in a folder of its own, gone with its owner.
//!
//! The server is a child of a small shell that reads words from a pipe. When the pipe ends, by [`TestServer`] being
//! dropped or by the death of the process however sudden, the shell kills the server and deletes the folder.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Names a running server to test against instead of starting one.
pub const URL_VARIABLE: &str = "STEPWELL_TEST_REDIS_URL";

/// How long a server may take to start or to die.
const PATIENCE: Duration = Duration::from_secs(20);

const KEEPER: &str = r#"
dir=$1; shift
command -v "$1" >/dev/null || { rm -rf "$dir"; exit 127; }
while read -r word; do
  case $word in
    start) "$@" & pid=$! ;;
    kill) kill -9 "$pid"; wait "$pid" 2>/dev/null; echo killed ;;
  esac
done
[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
rm -rf "$dir"
"#;

/// A running redis-server that nobody else uses. It syncs its append-only file at each write and never evicts, unless
/// told otherwise.
#[derive(Debug)]
pub struct TestServer {
    keeper: Child,
    words: Option<ChildStdin>,
    lines: Mutex<Receiver<String>>,
    dir: PathBuf,
}

impl TestServer {
    /// Starts a server. Each setting is an option of its configuration and its value, over
    /// `appendonly yes`, `appendfsync always`.
    ///
    /// # Errors
    /// When redis-server is not installed or does not start; the message holds its last words.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, Error> {
        let dir = tempfile::Builder::new().prefix("stepwell-redis-").tempdir()?.keep();
        let socket = dir.join("redis.sock");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&dir).arg("redis-server");
        command.arg("--port").arg("0").arg("--unixsocket").arg(&socket).arg("--dir").arg(&dir);
        for (name, value) in
            [("appendonly", "yes"), ("appendfsync", "always"), ("save", "")].iter().chain(settings)
        {
            command.arg(format!("--{name}")).arg(value);
        }
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || Error::other("the shell that keeps redis-server has no pipes");
        let words = keeper.stdin.take().ok_or_else(missing)?;
        let output = keeper.stdout.take().ok_or_else(missing)?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the server never blocks on a full pipe.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut server = Self { keeper, words: Some(words), lines: Mutex::new(lines), dir };
        server.revive()?;
        Ok(server)
    }

    /// Starts the server again after [`kill`](Self::kill), on the same data.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn revive(&mut self) -> Result<(), Error> {
        // When the shell is gone because there is no redis-server, `hear` says so.
        let said = self.say("start");
        self.hear("eady to accept connections")?;
        said
    }

    /// Kills the server at once, as a crash would.
    ///
    /// # Errors
    /// When the shell that keeps it is gone.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.say("kill")?;
        self.hear("killed")
    }

    fn say(&mut self, word: &str) -> Result<(), Error> {
        let words = self.words.as_mut().ok_or_else(|| Error::other("the server was stopped"))?;
        writeln!(words, "{word}")
    }

    fn hear(&self, what: &str) -> Result<(), Error> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heard = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(what) => return Ok(()),
                Ok(line) => heard.push(line),
                Err(_) => {
                    let why = format!(
                        "redis-server did not start or stop. If it is not installed, install it (Debian: `apt-get install \
                         redis-server`) or name a running one in {URL_VARIABLE}. It said: {heard:?}"
                    );
                    return Err(Error::new(ErrorKind::NotFound, why));
                }
            }
        }
    }

    /// The socket that the server listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// The URL of a store on this server.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("redis+unix://{}?prefix={prefix}", self.socket().display())
    }

    /// The folder with the server's data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // The end of the pipe is the sign to clean up.
        drop(self.words.take());
        let _ = self.keeper.wait();
    }
}

/// The URL of a store on a server that all tests of this process share: the one that [`URL_VARIABLE`] names, or one that is
/// started at the first call and dies with the process. Take a prefix of your own for each test.
///
/// # Errors
/// As for [`TestServer::start`].
pub fn shared_url(prefix: &str) -> Result<String, Error> {
    static SHARED: OnceLock<Result<TestServer, String>> = OnceLock::new();
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        let join = if url.contains('?') { '&' } else { '?' };
        return Ok(format!("{url}{join}prefix={prefix}"));
    }
    match SHARED.get_or_init(|| TestServer::start(&[]).map_err(|error| error.to_string())) {
        Ok(server) => Ok(server.url(prefix)),
        Err(why) => Err(Error::new(ErrorKind::NotFound, why.clone())),
    }
}
