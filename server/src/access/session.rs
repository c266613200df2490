//! Who is logged in to the dashboard: a cookie names a session, and a session a token's rule.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::access::Access;
use crate::access::token::{SecretHash, draw};

/// The cookie's name.
pub const COOKIE: &str = "stepwell_session";
/// How long a session lasts.
pub const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Most sessions at once; the oldest go first.
const SESSIONS_MAX: usize = 10_000;

/// The sessions of this process: they end with it.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SecretHash, (Instant, Access)>>);

impl Sessions {
    /// Begins a session, and returns what its cookie says.
    ///
    /// # Errors
    /// The operating system gave no random numbers.
    pub fn begin(&self, access: Access) -> Result<String, getrandom::Error> {
        let secret = draw()?;
        let now = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|_, (since, _)| now.duration_since(*since) < LASTS);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = sessions.iter().min_by_key(|(_, (since, _))| *since).map(|(hash, _)| *hash)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(SecretHash::of(&secret), (now, access));
        Ok(secret)
    }

    /// Whose session it is; `None` when it ended or there is none.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<Access> {
        let sessions = self.lock();
        let (since, access) = sessions.get(&SecretHash::of(secret))?;
        (since.elapsed() < LASTS).then(|| access.clone())
    }

    /// Ends a session, if there is one.
    pub fn end(&self, secret: &str) {
        self.lock().remove(&SecretHash::of(secret));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SecretHash, (Instant, Access)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_until_it_is_ended() {
        let sessions = Sessions::default();
        let secret = sessions.begin(Access::local("ann")).expect("random numbers");
        assert_eq!(sessions.find(&secret), Some(Access::local("ann")));
        assert_eq!(sessions.find("other"), None);
        sessions.end(&secret);
        assert_eq!(sessions.find(&secret), None);
    }
}
