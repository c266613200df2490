//! Bugs that can be planted on purpose, to show that the tests that should find them do.
//!
//! Only a build with the feature `seeded-bugs` can plant one, and does so when its program says so. In every other
//! build [`is_planted`] is a constant `false` and costs nothing.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The file store answers before the disk has what it says it has.
    AckBeforeSync = 1,
    /// A batch is applied whatever version it was computed from.
    VersionIgnored,
    /// Two versions are the same when their counters are.
    NonceIgnored,
    /// The file store syncs again after a sync has failed, and goes on.
    SyncRetried,
    /// An attempt begins before it is counted.
    AttemptCountedAfter,
    /// A run ends without a word to the run that started it.
    ParentNotTold,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 6] = [
        Self::AckBeforeSync,
        Self::VersionIgnored,
        Self::NonceIgnored,
        Self::SyncRetried,
        Self::AttemptCountedAfter,
        Self::ParentNotTold,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::VersionIgnored => "version-ignored",
            Self::NonceIgnored => "nonce-ignored",
            Self::SyncRetried => "sync-retried",
            Self::AttemptCountedAfter => "attempt-counted-after",
            Self::ParentNotTold => "parent-not-told",
        }
    }
}

#[cfg(feature = "seeded-bugs")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process, in place of the one before.
#[cfg(feature = "seeded-bugs")]
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, std::sync::atomic::Ordering::SeqCst);
}

/// Whether the bug is planted in this process.
#[cfg(feature = "seeded-bugs")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether the bug is planted in this process: never, in this build.
#[cfg(not(feature = "seeded-bugs"))]
#[must_use]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
