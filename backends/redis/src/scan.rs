//! Scanning: sets of ids in the order of the scan, merged over shards, filtered by their heads.

use futures_util::future::try_join_all;
use redis::Value;
use stepwell_contract::limits::{ID_BYTES_MAX, PAGE_ITEMS_MAX};
use stepwell_contract::{
    BackendError, Cursor, Head, Order, Page, Query, RunId, RunKey, Status, TenantId, Timestamp,
};

use crate::backend::RedisBackend;
use crate::fault::{Stage, corrupt};
use crate::layout::{age_cursor, age_member};
use crate::link::Arguments;
use crate::script;

/// How many members of each set are read at once, at least and at most.
const READ_MIN: usize = 64;
const READ_MAX: usize = 512;
/// How many rounds one page may take before it is returned short.
const ROUNDS_MAX: usize = 8;

/// The next members of the sets, in the order of the scan.
struct Members {
    now: Timestamp,
    places: Vec<Cursor>,
    /// Whether there may be more behind the last.
    more: bool,
}

impl RedisBackend {
    pub(crate) async fn page(
        &self,
        query: &Query,
        mut after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        let mut items = Vec::new();
        if limit == 0 {
            return Ok(Page { items, next: None });
        }
        for round in 0..ROUNDS_MAX {
            // What fits seldom is looked for in larger and larger pieces.
            let most = (limit - items.len() + 1).max(READ_MIN << round).min(READ_MAX);
            let members = self.members(query, after.as_ref(), most).await?;
            let last = members.places.last().cloned();
            // The tenant stands in the member: no need to look at heads of others.
            let ours =
                |place: &Cursor| query.tenant.as_ref().is_none_or(|tenant| *tenant == place.key.tenant);
            let wanted: Vec<RunKey> =
                members.places.into_iter().filter(ours).map(|place| place.key).collect();
            let heads = self.heads(&wanted).await?;
            for stored in heads.into_iter().flatten() {
                if !query.fits(&stored.head, stored.has_mail, members.now) {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last().map(Cursor::of);
                    return Ok(Page { items, next });
                }
                items.push(stored.head);
            }
            if !members.more {
                return Ok(Page { items, next: None });
            }
            after = last.or(after);
            if items.len() == limit {
                break;
            }
        }
        let next = match &query.tenant {
            Some(tenant) => after.map(|after| among(after, tenant, query.order)),
            None => after,
        };
        Ok(Page { items, next })
    }

    /// Reads the sets behind the cursor: all of a shard in one moment, so that a run on its way from one set to another
    /// is found.
    async fn members(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Members, BackendError> {
        let mut arguments = Arguments::default();
        arguments.push_number(self.options.shift());
        arguments.push(if query.order == Order::Oldest { "oldest" } else { "newest" });
        arguments.push(after.map_or(String::new(), age_member)).push_number(most);
        // Of the sets of its statuses and that of its workflow, the shard reads the smaller.
        let workflow = query.workflow.as_ref().filter(|_| query.leased_by.is_none() && !query.with_mail);
        arguments.push(workflow.map_or("", |workflow| workflow.as_str()));
        for set in sets(query) {
            arguments.push(set);
        }
        let reads = (0..self.layout.shards).map(async |shard| {
            self.run::<Vec<Value>>(&script::LIST, shard, &arguments, Stage::Reading).await
        });
        let mut now = Timestamp::default();
        let mut places = Vec::new();
        let mut horizon: Option<Cursor> = None;
        let newest = query.order == Order::Newest;
        for answer in try_join_all(reads).await? {
            let mut answer = answer.into_iter();
            let time = answer.next().unwrap_or_default();
            let time: i64 = redis::from_redis_value(time).map_err(|error| corrupt("the time", error))?;
            now = now.max(Timestamp(time));
            for set in answer {
                let set: Vec<String> =
                    redis::from_redis_value(set).map_err(|error| corrupt("a set of runs", error))?;
                let read = |member: &String| {
                    age_cursor(member).ok_or_else(|| corrupt("a set of runs", format!("it holds {member:?}")))
                };
                let set: Vec<Cursor> = set.iter().map(read).collect::<Result<_, _>>()?;
                if set.len() == most
                    && let Some(last) = set.last()
                    && horizon
                        .as_ref()
                        .is_none_or(|horizon| if newest { last > horizon } else { last < horizon })
                {
                    horizon = Some(last.clone());
                }
                places.extend(set);
            }
        }
        // Behind the nearest end of a set that was not read to its end, others may be missing.
        if let Some(horizon) = &horizon {
            places.retain(|place| if newest { place >= horizon } else { place <= horizon });
        }
        places.sort_unstable();
        if newest {
            places.reverse();
        }
        places.dedup();
        Ok(Members { now, places, more: horizon.is_some() })
    }
}

/// A place of a scan told without the run of another tenant that may be there: none of the tenant's own runs is between the two.
fn among(place: Cursor, tenant: &TenantId, order: Order) -> Cursor {
    if place.key.tenant == *tenant {
        return place;
    }
    // At the same moment the runs of a tenant stand together, before or behind those of the other one. The place goes on in the
    // order of the scan, so that the next page does not come by again.
    let (end, at) = match order {
        Order::Oldest => ("-".to_owned(), place.created_at.0 + i64::from(*tenant < place.key.tenant)),
        Order::Newest => {
            ("z".repeat(ID_BYTES_MAX), place.created_at.0 - i64::from(*tenant > place.key.tenant))
        }
    };
    let run = RunId::new(end).expect("a dash, or as many letters as an id may have, is an id");
    Cursor { created_at: Timestamp(at), key: RunKey::new(tenant.clone(), run) }
}

/// The smallest sets that hold everything that can fit.
fn sets(query: &Query) -> Vec<String> {
    if let Some(worker) = &query.leased_by {
        return vec![format!("worker:{worker}")];
    }
    if query.with_mail {
        return vec!["with-mail".to_owned()];
    }
    let can_fit = |status: &Status| {
        (query.statuses.is_empty() || query.statuses.contains(status))
            && (!query.due || !(status.is_finished() || *status == Status::Paused))
    };
    Status::ALL.into_iter().filter(can_fit).map(|status| format!("status:{status}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_to_a_tenant_by_its_own_name_and_means_the_same_to_it() {
        let tenant = |name: &str| TenantId::new(name).expect("an id");
        let place = |at: i64, whose: &str, run: &str| Cursor {
            created_at: Timestamp(at),
            key: RunKey::new(tenant(whose), RunId::new(run).expect("an id")),
        };
        let own = tenant("m");
        let runs: Vec<Cursor> =
            (3..8).flat_map(|at| ["0", "a", "z-9"].map(|run| place(at, "m", run))).collect();
        for foreign in ["a", "m-1", "z"].map(|whose| place(5, whose, "secret")) {
            for order in [Order::Oldest, Order::Newest] {
                let told = among(foreign.clone(), &own, order);
                assert_eq!(told.key.tenant, own);
                let is_behind = |run: &Cursor, place: &Cursor| match order {
                    Order::Oldest => run > place,
                    Order::Newest => run < place,
                };
                assert!(!is_behind(&foreign, &told), "it goes on: {told:?}");
                for run in &runs {
                    assert_eq!(is_behind(run, &told), is_behind(run, &foreign), "{run:?} at {foreign:?}");
                }
            }
        }
        assert_eq!(among(runs[0].clone(), &own, Order::Newest), runs[0]);
    }
}
