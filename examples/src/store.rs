//! The store flag, and the store it names.

use std::path::Path;
use std::sync::Arc;
use std::{env, fs, io};

use stepwell_backends::settings::{self, FILE_NAME, STORE_VARIABLE, Sources, StoreSetting};
use stepwell_backends::{OpenError, open_url};
use stepwell_contract::{Backend, FaultKind, Head, Timestamp};

use crate::exit::{self, Trouble};

/// Where runs are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreFlag {
    /// Where runs are kept: file:DIR, sled:DIR, redis://HOST/DB or memory: [default: $STEPWELL_STORE, then
    /// stepwell.toml, then file:./data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl StoreFlag {
    /// Opens the store that the flag names; without it the one of `STEPWELL_STORE`, of `stepwell.toml` in the working
    /// folder, or `file:./data`. Returns it with its name for people.
    ///
    /// # Errors
    /// [`Trouble`] with code 2 when the name is wrong, with code 5 when the store does not open.
    pub async fn open(&self) -> Result<(Arc<dyn Backend>, String), Trouble> {
        let environment = env::var(STORE_VARIABLE).ok();
        let file = match fs::read_to_string(FILE_NAME) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let fix = "make it readable, or remove it";
                return Err(Trouble::new(exit::USAGE, format!("cannot read {FILE_NAME}"), error, fix));
            }
        };
        let setting = settings::store(Sources {
            flag: self.store.as_deref(),
            environment: environment.as_deref(),
            file: file.as_deref().map(|text| (Path::new(FILE_NAME), text)),
        });
        let StoreSetting { url, origin } = setting.map_err(|error| {
            let fix = "name a store such as file:./data, sled:./data or redis://localhost/0";
            Trouble::new(exit::USAGE, "there is no such store", error, fix)
        })?;
        let shown = url.to_string();
        match open_url(&url).await {
            Ok(backend) => Ok((backend, shown)),
            Err(error) => Err(Trouble::new(
                exit::STORE,
                format!("the store {shown} (from {origin}) does not open"),
                &error,
                fix(&error),
            )),
        }
    }
}

/// What to tell people about a run that another worker has, dead or alive: its lease has to end first. Never so on a store
/// that one process owns, where opening ends all leases.
#[must_use]
pub fn wait_for_lease(head: &Head, now: Timestamp) -> Option<String> {
    let lease = head.live_lease(now).filter(|_| !head.status.is_finished())?;
    let seconds = lease.expires_at.since_ms(now).div_ceil(1_000);
    Some(format!("worker {} holds it; if that one is dead, this one takes over in {seconds} s", lease.worker))
}

fn fix(error: &OpenError) -> &'static str {
    let OpenError::Store { source, .. } = error else { return "choose another store with --store" };
    match source.kind() {
        FaultKind::Locked => "wait for that process or stop it, or choose another store with --store",
        FaultKind::Unavailable | FaultKind::Timeout => {
            "see that the server runs and can be reached, then try again"
        }
        FaultKind::Full => "free some space, then try again",
        FaultKind::Corrupt | FaultKind::IdentityLost => {
            "restore the store from a backup, or begin a new one with --store"
        }
        _ => "mend the cause, or choose another store with --store",
    }
}
