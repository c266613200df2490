//! An outside world that keeps count: a process that takes effects over TCP, drops those it knows, and is never
//! killed.
//!
//! A line `effect RUN KEY FENCE OWNER guarded|plain` is answered by `new`, `known` or `stale`; `report` by one line
//! of figures. A guarded effect is dropped when its key is known or its fence is below the highest of its run; a
//! plain one is always carried out.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Error, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What the ledger knows.
#[derive(Debug, Default)]
struct Book {
    guarded: HashMap<String, u64>,
    plain: HashMap<String, u64>,
    fences: HashMap<String, (u64, String)>,
    dropped: u64,
    stale: u64,
    shared_fences: u64,
}

/// The figures of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Guarded effects that were carried out, each once.
    pub guarded: u64,
    /// Guarded effects that came again and were dropped.
    pub dropped: u64,
    /// Guarded effects of an owner that had been followed by another one; refused.
    pub stale: u64,
    /// Unguarded effects, by key.
    pub plain: u64,
    /// Unguarded effects that were carried out again.
    pub reruns: u64,
    /// Two owners that came with the same fence: never.
    pub shared_fences: u64,
}

impl Book {
    fn take(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["effect", run, key, fence, owner, kind] => {
                self.effect(run, key, fence.parse().unwrap_or(0), owner, *kind == "guarded").to_owned()
            }
            ["report"] => {
                let reruns: u64 = self.plain.values().map(|times| times - 1).sum();
                format!(
                    "{} {} {} {} {reruns} {}",
                    self.guarded.len(),
                    self.dropped,
                    self.stale,
                    self.plain.len(),
                    self.shared_fences
                )
            }
            _ => "what".to_owned(),
        }
    }

    fn effect(&mut self, run: &str, key: &str, fence: u64, owner: &str, guarded: bool) -> &'static str {
        let (highest, holder) = self.fences.entry(run.to_owned()).or_insert((fence, owner.to_owned()));
        if fence == *highest && holder != owner {
            self.shared_fences += 1;
        }
        let is_stale = fence < *highest;
        if fence > *highest {
            (*highest, *holder) = (fence, owner.to_owned());
        }
        if !guarded {
            *self.plain.entry(key.to_owned()).or_default() += 1;
            return "new";
        }
        if is_stale {
            self.stale += 1;
            return "stale";
        }
        if self.guarded.contains_key(key) {
            self.dropped += 1;
            return "known";
        }
        self.guarded.insert(key.to_owned(), fence);
        "new"
    }
}

/// Serves until it is killed. Its address is written to the file `port_file`, whole.
///
/// # Errors
/// When it cannot listen.
pub fn serve(port_file: &Path) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let unfinished = port_file.with_extension("new");
    std::fs::write(&unfinished, listener.local_addr()?.to_string())?;
    std::fs::rename(unfinished, port_file)?;
    let book = Arc::new(Mutex::new(Book::default()));
    for stream in listener.incoming() {
        let (stream, book) = (stream?, Arc::clone(&book));
        // The client goes when it is killed: that ends its thread and nothing else.
        std::thread::spawn(move || answer(stream, &book));
    }
    Ok(())
}

fn answer(stream: TcpStream, book: &Mutex<Book>) -> Result<(), Error> {
    let mut back = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let reply = book.lock().unwrap_or_else(PoisonError::into_inner).take(&line?);
        back.write_all(format!("{reply}\n").as_bytes())?;
    }
    Ok(())
}

/// Asks the ledger.
///
/// # Errors
/// When it does not answer.
pub fn ask(address: SocketAddr, line: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    Ok(reply.trim_end().to_owned())
}

/// The ledger's figures.
///
/// # Errors
/// When it does not answer.
pub fn figures(address: SocketAddr) -> Result<Figures, Error> {
    let reply = ask(address, "report")?;
    let numbers: Vec<u64> = reply.split(' ').filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [guarded, dropped, stale, plain, reruns, shared_fences] => Ok(Figures {
            guarded: *guarded,
            dropped: *dropped,
            stale: *stale,
            plain: *plain,
            reruns: *reruns,
            shared_fences: *shared_fences,
        }),
        _ => Err(Error::other(format!("the ledger answered {reply:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_is_dropped_and_an_old_fence_refused() {
        let mut book = Book::default();
        assert_eq!(book.take("effect r k1 1 a guarded"), "new");
        assert_eq!(book.take("effect r k1 2 b guarded"), "known");
        assert_eq!(book.take("effect r k2 1 a guarded"), "stale");
        assert_eq!(book.take("effect r k3 2 c plain"), "new");
        assert_eq!(book.take("report"), "1 1 1 1 0 1");
    }
}
