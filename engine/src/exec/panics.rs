//! Where a step panicked.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static LATEST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// The latest panic of a thread.
#[derive(Debug)]
pub(crate) struct Panicked {
    /// As `file:line:column`.
    pub(crate) place: String,
    /// There is one only where the program was started with backtraces: they are dear.
    backtrace: Backtrace,
}

impl Panicked {
    /// The backtrace as text, if there is one.
    pub(crate) fn backtrace(&self) -> Option<String> {
        (self.backtrace.status() == BacktraceStatus::Captured).then(|| self.backtrace.to_string())
    }
}

/// Makes panics leave their place behind, once in a process. The hook that was there goes on being called.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
            LATEST.set(place.map(|place| Panicked { place, backtrace: Backtrace::capture() }));
            before(info);
        }));
    });
}

/// The latest panic of this thread, once.
pub(crate) fn take() -> Option<Panicked> {
    LATEST.take()
}
