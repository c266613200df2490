//! Counting runs: each shard counts along, the sum is the store's.
//!
//! A program from before this counting that writes to the store counts nothing, and puts no run into the set of its
//! workflow. That is found as far as it changed how many runs are in some status, and then scans do without the sets of
//! workflows until a tally is asked for, which counts every head of the shard from the beginning, once, [`HEADS_AT_ONCE`] in a
//! call: other calls have their turn in between, and what they write is counted along where the count has been already. The
//! place it has come to is in the store, so that a count that was given up is taken up by the next tally.
//! What evens out stays wrong: when such a program removed one run and made
//! another that is in the same status now, the one that it made is counted as the removed one and missed by scans for its
//! workflow. Deleting the shards' keys `tally` makes the next tally count from the beginning.

use stepwell_contract::tally::Tallies;
use stepwell_contract::{BackendError, Tally};

use crate::backend::RedisBackend;
use crate::fault::{Stage, corrupt};
use crate::link::Arguments;
use crate::script;

/// Most heads that one call counts: the server does nothing else meanwhile.
const HEADS_AT_ONCE: u32 = 250;
/// What a shard answers while there is more to count.
const MORE: &str = "more";

impl RedisBackend {
    pub(crate) async fn count(&self) -> Result<Vec<Tally>, BackendError> {
        let mut arguments = Arguments::default();
        arguments.push_number(self.options.shift()).push_number(HEADS_AT_ONCE);
        let mut sum = Tallies::default();
        // One after the other: where all are counted from the beginning, the server has time for others.
        for shard in 0..self.layout.shards {
            for (sort, runs) in self.count_shard(shard, &arguments).await? {
                // Runs whose heads were lost are nobody's.
                if !sort.starts_with(',') {
                    sum.add(sort.parse().map_err(|error: String| corrupt("the tally", error))?, runs);
                }
            }
        }
        Ok(sum.list())
    }

    /// The runs of a shard by sort.
    async fn count_shard(
        &self,
        shard: u16,
        arguments: &Arguments,
    ) -> Result<Vec<(String, i64)>, BackendError> {
        loop {
            // It changes nothing that anyone could have written: asked again it answers the same.
            let answer: Vec<String> = self.run(&script::TALLY, shard, arguments, Stage::Reading).await?;
            if answer != [MORE] {
                let pairs = answer.chunks_exact(2).map(|pair| {
                    let runs = pair[1].parse().map_err(|error| corrupt("the tally", error))?;
                    Ok((pair[0].clone(), runs))
                });
                return pairs.collect();
            }
        }
    }
}
