//! Redis used in the way that suits it best: one connection, one pipeline of `RPUSH` for each group.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::bare::{Entry, Sink};

/// A connection that speaks just enough of the protocol.
#[derive(Debug)]
struct Link {
    to: TcpStream,
    from: BufReader<TcpStream>,
}

impl Link {
    /// Connects to the server at `redis://HOST:PORT`.
    fn open(url: &str) -> io::Result<Self> {
        let place = url.strip_prefix("redis://").and_then(|rest| rest.split(['/', '?']).next());
        let place = place.ok_or_else(|| io::Error::other(format!("{url} is not redis://HOST:PORT")))?;
        let to = TcpStream::connect(place)?;
        to.set_nodelay(true)?;
        let from = BufReader::with_capacity(1 << 16, to.try_clone()?);
        Ok(Self { to, from })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        match line.strip_prefix('-') {
            Some(error) => Err(io::Error::other(format!("redis: {}", error.trim_end()))),
            None => Ok(line.trim_end().to_owned()),
        }
    }

    /// Sends a command whose answer is a text.
    fn text(&mut self, command: &str) -> io::Result<String> {
        self.to.write_all(format!("{command}\r\n").as_bytes())?;
        let first = self.line()?;
        let Some(len) = first.strip_prefix('$') else { return Ok(first) };
        let len: usize = len.parse().map_err(io::Error::other)?;
        let mut text = vec![0; len + 2];
        self.from.read_exact(&mut text)?;
        String::from_utf8(text).map_err(io::Error::other)
    }
}

/// A list for each run.
#[derive(Debug)]
pub(crate) struct RedisLists {
    link: Link,
    buffer: Vec<u8>,
}

impl RedisLists {
    pub(crate) fn open(url: &str) -> io::Result<Self> {
        Ok(Self { link: Link::open(url)?, buffer: Vec::new() })
    }
}

impl Sink for RedisLists {
    fn commit(&mut self, group: &[Entry]) -> io::Result<()> {
        self.buffer.clear();
        for Entry { run, bytes } in group {
            let key = format!("floor:{run}");
            write!(self.buffer, "*3\r\n$5\r\nRPUSH\r\n${}\r\n{key}\r\n${}\r\n", key.len(), bytes.len())?;
            self.buffer.extend_from_slice(bytes);
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.link.to.write_all(&self.buffer)?;
        for _ in group {
            self.link.line()?;
        }
        Ok(())
    }
}

/// What is to be known of a server beside its data.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: u32,
    link: Link,
}

impl Server {
    pub(crate) fn at(url: &str) -> io::Result<Self> {
        let mut link = Link::open(url)?;
        let info = link.text("INFO server")?;
        let process = field(&info, "process_id")?;
        Ok(Self { process: u32::try_from(process).map_err(io::Error::other)?, link })
    }

    /// Throws away all data of the server.
    pub(crate) fn empty(&mut self) -> io::Result<()> {
        self.link.text("FLUSHALL SYNC").map(drop)
    }

    /// The length of the append-only file.
    pub(crate) fn log_bytes(&mut self) -> io::Result<u64> {
        let info = self.link.text("INFO persistence")?;
        field(&info, "aof_current_size")
    }
}

fn field(info: &str, name: &str) -> io::Result<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.ok_or_else(|| io::Error::other(format!("redis does not tell {name}")))?;
    value.trim().parse().map_err(io::Error::other)
}
