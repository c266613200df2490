//! Counting runs: each shard counts along, the sum is the store's.
//!
//! A program from before this counting that writes to the store counts nothing. What it did is found when a tally is
//! asked for, as far as it changed how many runs are in some status: then every head of the shard is counted anew, once,
//! which holds up the server meanwhile (about a second for each few hundred thousand runs of the shard). Changes that
//! even out within each status (a run of one workflow removed, one of another ended) stay miscounted until the next
//! recount; deleting the shards' keys `tally` brings it about.

use futures_util::future::try_join_all;
use stepwell_contract::tally::{Sort, Tallies};
use stepwell_contract::{BackendError, Name, Status, Tally, TenantId};

use crate::backend::RedisBackend;
use crate::fault::{Stage, corrupt};
use crate::link::Arguments;
use crate::script;

impl RedisBackend {
    pub(crate) async fn count(&self) -> Result<Vec<Tally>, BackendError> {
        let mut arguments = Arguments::default();
        arguments.push_number(self.options.shift());
        let shards = (0..self.layout.shards).map(async |shard| {
            // It changes nothing that anyone could have written: asked again it answers the same.
            self.run::<Vec<(String, i64)>>(&script::TALLY, shard, &arguments, Stage::Reading).await
        });
        let mut sum = Tallies::default();
        for (text, runs) in try_join_all(shards).await?.into_iter().flatten() {
            // Runs whose heads were lost are nobody's.
            if !text.starts_with(',') {
                let strange = || corrupt("the tally", format!("it counts runs of {text:?}"));
                sum.add(sort_of(&text).ok_or_else(strange)?, runs);
            }
        }
        Ok(sum.list())
    }
}

/// The sort in a field of a shard's tally.
fn sort_of(text: &str) -> Option<Sort> {
    let mut parts = text.split(',');
    let tenant = TenantId::new(parts.next()?).ok()?;
    let word = parts.next()?;
    let status = Status::ALL.into_iter().find(|status| status.as_str() == word)?;
    let (queue, workflow) = (Name::new(parts.next()?).ok()?, Name::new(parts.next()?).ok()?);
    Some(Sort { tenant, workflow, queue, status })
}
