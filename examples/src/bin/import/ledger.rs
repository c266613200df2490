//! An outside world that wants to hear of each copy once, however often the telling process dies.
//!
//! Nobody but the receiver can make an effect happen once: it knows the idempotency key of what it has already, and the
//! fencing token of a worker that was followed by another.

use std::io::{BufRead, BufReader, Error, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use stepwell::prelude::*;

/// How long the ledger may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ledger that is told of copies, if any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ledger(pub(crate) Option<SocketAddr>);

impl Ledger {
    /// Tells of the effect of a step: `effect RUN KEY FENCE PROCESS guarded`. Returns once the ledger has it, now or from an
    /// earlier attempt.
    ///
    /// # Errors
    /// Transient, when it does not answer, or says that this worker was followed by another.
    pub(crate) async fn tell(self, ctx: &StepContext) -> StepResult<()> {
        let Some(address) = self.0 else { return Ok(()) };
        let (run, key, fence) = (ctx.run_id(), ctx.idempotency_key(), ctx.fencing_token());
        let line = format!("effect {run} {key} {fence} {} guarded\n", std::process::id());
        let answer = tokio::task::spawn_blocking(move || ask(address, &line)).await.permanent()?;
        match answer {
            Ok(answer) if matches!(answer.trim_end(), "new" | "known") => Ok(()),
            Ok(answer) => Err(StepError::transient(format!("the ledger at {address} says {answer:?}"))),
            Err(error) => {
                Err(StepError::transient(format!("the ledger at {address} does not answer: {error}")))
            }
        }
    }
}

fn ask(address: SocketAddr, line: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}
