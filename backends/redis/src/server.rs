//! What the server says of itself, and what that is worth: durability, eviction, health.

use std::collections::HashMap;

use stepwell_contract::{BackendError, Durability, Fault, FaultKind, Health};

use crate::fault::Stage;
use crate::link::Link;
use crate::options::RedisOptions;

/// From this share of `maxmemory` on the store is shown as degraded, in percent.
const MEMORY_ALARM_PERCENT: u64 = 80;

/// What the server says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    info: HashMap<String, String>,
    config: HashMap<String, String>,
}

impl Server {
    /// Asks `INFO`, and `CONFIG` for what `INFO` does not tell. What the login may not read stays unknown.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn ask(link: &Link) -> Result<Self, BackendError> {
        let text: String = unless_barred(link.query(&redis::cmd("INFO"), Stage::Reading).await)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let info = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut config = HashMap::new();
        for name in ["maxmemory-policy", "maxmemory", "appendonly", "appendfsync"] {
            let asked = redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
            let pairs: HashMap<String, String> = unless_barred(link.query(&asked, Stage::Reading).await)?;
            config.extend(pairs);
        }
        Ok(Self { info, config })
    }

    fn of(&self, config: &str, info: &str) -> Option<&str> {
        self.config.get(config).or_else(|| self.info.get(info)).map(String::as_str)
    }

    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    /// What becomes of keys when the memory is full.
    pub(crate) fn policy(&self) -> Option<&str> {
        self.of("maxmemory-policy", "maxmemory_policy")
    }

    /// How the append-only file is kept: `off`, or when it is synced, or `on` when only that is known.
    pub(crate) fn append_only_file(&self) -> Option<&str> {
        match self.of("appendonly", "aof_enabled")? {
            "no" | "0" => Some("off"),
            _ => Some(self.config.get("appendfsync").map_or("on", String::as_str)),
        }
    }

    /// What an acknowledged write survives, as far as can be told.
    pub(crate) fn durability(&self) -> Durability {
        match self.append_only_file() {
            None | Some("off") => Durability::D0,
            Some("always") => Durability::D2,
            // Written to the operating system before the answer; synced up to a second later, or when it likes.
            Some(_) => Durability::D1,
        }
    }

    /// Refuses settings that lose data.
    ///
    /// # Errors
    /// `Definite(Refused)` says what to set, and how to open the store nevertheless.
    pub(crate) fn check(&self, options: &RedisOptions) -> Result<(), BackendError> {
        let refused = |why: String| Err(BackendError::Definite(Fault::new(FaultKind::Refused, why)));
        match self.policy() {
            Some("noeviction") => {}
            Some(policy) if !options.allow_eviction => {
                return refused(format!(
                    "Redis has maxmemory-policy {policy} and may throw runs away: set `maxmemory-policy noeviction`, \
                     or accept the loss with allow_eviction=yes"
                ));
            }
            None if !options.allow_unknown && !options.allow_eviction => return refused(unknown("eviction")),
            _ => {}
        }
        match self.append_only_file() {
            Some("off") if !options.allow_no_aof => refused(
                "Redis keeps no append-only file and forgets acknowledged writes when it stops: set `appendonly yes` \
                 and `appendfsync always`, or accept the loss with allow_no_aof=yes"
                    .to_owned(),
            ),
            None if !options.allow_unknown && !options.allow_no_aof => refused(unknown("its append-only file")),
            _ => Ok(()),
        }
    }

    /// Whether the server can be used.
    pub(crate) fn health(&self) -> Health {
        let number = |name: &str| self.info.get(name).and_then(|text| text.parse::<u64>().ok());
        let flag = |name: &str| number(name) == Some(1);
        if flag("loading") || flag("async_loading") {
            return Health::Degraded("Redis is loading its data".to_owned());
        }
        if self.fact("role").is_some_and(|role| role != "master") {
            return Health::Degraded("this Redis is a replica: it cannot be written and may lag".to_owned());
        }
        if self.fact("aof_last_write_status").is_some_and(|status| status != "ok") {
            return Health::Degraded("Redis cannot write its append-only file: see its log".to_owned());
        }
        let (used, most) = (number("used_memory").unwrap_or(0), number("maxmemory").unwrap_or(0));
        if most > 0 && used.saturating_mul(100) >= most.saturating_mul(MEMORY_ALARM_PERCENT) {
            return Health::Degraded(format!("Redis uses {used} of at most {most} bytes of memory"));
        }
        Health::Ok
    }
}

fn unknown(what: &str) -> String {
    format!(
        "this Redis login may read neither CONFIG nor INFO, so nothing can be told about {what}: allow it `INFO` and \
         `CONFIG GET`, or accept the risk with allow_unknown=yes"
    )
}

/// Nothing where the login may not ask, or the server has no such command.
fn unless_barred<T: Default>(answer: Result<T, BackendError>) -> Result<T, BackendError> {
    match answer {
        Err(BackendError::Definite(fault)) if is_barred(&fault) => Ok(T::default()),
        other => other,
    }
}

fn is_barred(fault: &Fault) -> bool {
    let source = std::error::Error::source(fault);
    let error = source.and_then(|source| source.downcast_ref::<redis::RedisError>());
    error.is_some_and(|error| matches!(error.code(), Some("NOPERM" | "ERR")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(config: &[(&str, &str)], info: &[(&str, &str)]) -> Server {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Server { config: map(config), info: map(info) }
    }

    #[test]
    fn settings_that_lose_data_are_refused_unless_allowed() {
        let bare = RedisOptions::default;
        let rows = [
            (
                &[("maxmemory-policy", "noeviction"), ("appendonly", "yes"), ("appendfsync", "always")][..],
                bare(),
                true,
            ),
            (&[("maxmemory-policy", "allkeys-lru"), ("appendonly", "yes")][..], bare(), false),
            (
                &[("maxmemory-policy", "allkeys-lru"), ("appendonly", "yes")][..],
                bare().allow_eviction(),
                true,
            ),
            (&[("maxmemory-policy", "noeviction"), ("appendonly", "no")][..], bare(), false),
            (&[("maxmemory-policy", "noeviction"), ("appendonly", "no")][..], bare().allow_no_aof(), true),
            (&[][..], bare(), false),
            (&[][..], bare().allow_unknown(), true),
        ];
        for (config, options, accepted) in rows {
            assert_eq!(server(config, &[]).check(&options).is_ok(), accepted, "{config:?}");
        }
    }

    #[test]
    fn the_level_follows_from_the_append_only_file() {
        let level = |appendonly, appendfsync| {
            server(&[("appendonly", appendonly), ("appendfsync", appendfsync)], &[]).durability()
        };
        assert_eq!(level("yes", "always"), Durability::D2);
        assert_eq!(level("yes", "everysec"), Durability::D1);
        assert_eq!(level("yes", "no"), Durability::D1);
        assert_eq!(level("no", "always"), Durability::D0);
        assert_eq!(server(&[], &[("aof_enabled", "1")]).durability(), Durability::D1, "CONFIG is barred");
        assert_eq!(server(&[], &[]).durability(), Durability::D0);
    }

    #[test]
    fn memory_near_its_end_is_told_before_it_is_full() {
        let health = |used| server(&[], &[("used_memory", used), ("maxmemory", "100")]).health();
        assert_eq!(health("79"), Health::Ok);
        assert!(matches!(health("80"), Health::Degraded(_)));
    }
}
