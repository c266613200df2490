//! Counting runs: each shard counts along, the sum is the store's.
//!
//! A program from before this counting that writes to the store counts nothing, and puts no run into the set of its
//! workflow. That is found as far as it changed how many runs are in some status, and then scans do without the sets of
//! workflows until a tally is asked for, which counts every head of the shard anew, once; the server does nothing else
//! meanwhile (up to twenty seconds for each 250,000 runs of a shard, on a busy machine), and the call that began it may
//! end as a timeout while the server goes on counting: ask for a first tally of such a store when it is quiet.
//! What evens out stays wrong: when such a program removed one run and made
//! another that is in the same status now, the one that it made is counted as the removed one and missed by scans for its
//! workflow. Deleting the shards' keys `tally` makes the next tally count anew.

use stepwell_contract::tally::Tallies;
use stepwell_contract::{BackendError, Tally};

use crate::backend::RedisBackend;
use crate::fault::{Stage, corrupt};
use crate::link::Arguments;
use crate::script;

impl RedisBackend {
    pub(crate) async fn count(&self) -> Result<Vec<Tally>, BackendError> {
        let mut arguments = Arguments::default();
        arguments.push_number(self.options.shift());
        let mut sum = Tallies::default();
        let mut counted = Vec::new();
        // One after the other: where all are counted anew, each has the time of a reply for itself.
        for shard in 0..self.layout.shards {
            // It changes nothing that anyone could have written: asked again it answers the same.
            let part: Vec<(String, i64)> =
                self.run(&script::TALLY, shard, &arguments, Stage::Reading).await?;
            counted.extend(part);
        }
        for (text, runs) in counted {
            // Runs whose heads were lost are nobody's.
            if !text.starts_with(',') {
                sum.add(text.parse().map_err(|error: String| corrupt("the tally", error))?, runs);
            }
        }
        Ok(sum.list())
    }
}
