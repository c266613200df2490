//! Who is logged in to the dashboard: a cookie names a session, and a session a token's rule.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::access::token::{SecretHash, draw};

/// The cookie's name.
pub const COOKIE: &str = "stepwell_session";
/// How long a session lasts.
pub const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Most sessions at once of the holders of one token; their oldest go first, and nobody else's.
const SESSIONS_EACH_MAX: usize = 200;

/// The sessions of this process: they end with it.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SecretHash, Session>>);

/// Someone who is logged in.
#[derive(Debug, Clone)]
pub struct Session {
    access: Access,
    until: Instant,
    ended: CancellationToken,
}

impl Session {
    /// Whose it is.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns once it has ended: by logging out, by its age, or because the same token was used to log in too often since.
    pub async fn over(&self) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = tokio::time::sleep_until(self.until) => {}
        }
    }
}

impl Sessions {
    /// Begins a session, and returns what its cookie says.
    ///
    /// # Errors
    /// The operating system gave no random numbers.
    pub fn begin(&self, access: Access) -> Result<String, getrandom::Error> {
        let secret = draw()?;
        let now = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|_, session| now < session.until);
        let own = || sessions.iter().filter(|(_, session)| session.access.name == access.name);
        let oldest = own().min_by_key(|(_, session)| session.until).map(|(hash, _)| *hash);
        if let Some(oldest) = oldest.filter(|_| own().count() >= SESSIONS_EACH_MAX)
            && let Some(session) = sessions.remove(&oldest)
        {
            session.ended.cancel();
        }
        let session = Session { access, until: now + LASTS, ended: CancellationToken::new() };
        sessions.insert(SecretHash::of(&secret), session);
        Ok(secret)
    }

    /// The session that a cookie names; `None` when it ended or there is none.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<Session> {
        let sessions = self.lock();
        let session = sessions.get(&SecretHash::of(secret))?;
        (Instant::now() < session.until).then(|| session.clone())
    }

    /// Ends a session, if there is one.
    pub fn end(&self, secret: &str) {
        if let Some(session) = self.lock().remove(&SecretHash::of(secret)) {
            session.ended.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SecretHash, Session>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(sessions: &Sessions, secret: &str) -> bool {
        sessions.find(secret).is_some()
    }

    #[test]
    fn a_session_lasts_until_it_is_ended() {
        let sessions = Sessions::default();
        let secret = sessions.begin(Access::local("ann")).expect("random numbers");
        let session = sessions.find(&secret).expect("a session");
        assert_eq!(session.access(), &Access::local("ann"));
        assert!(!is_there(&sessions, "other") && !session.ended.is_cancelled());
        sessions.end(&secret);
        assert!(!is_there(&sessions, &secret) && session.ended.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_its_age() {
        let sessions = Sessions::default();
        let secret = sessions.begin(Access::local("ann")).expect("random numbers");
        let session = sessions.find(&secret).expect("a session");
        let before = Instant::now();
        session.over().await;
        assert_eq!(before.elapsed().as_secs(), LASTS.as_secs());
        assert!(!is_there(&sessions, &secret));
    }

    #[test]
    fn whoever_logs_in_again_and_again_ends_no_sessions_but_their_own() {
        let sessions = Sessions::default();
        let bobs = sessions.begin(Access::local("bob")).expect("random numbers");
        let anns = sessions.begin(Access::local("ann")).expect("random numbers");
        for _ in 0..SESSIONS_EACH_MAX {
            sessions.begin(Access::local("ann")).expect("random numbers");
        }
        assert!(is_there(&sessions, &bobs) && !is_there(&sessions, &anns));
    }
}
