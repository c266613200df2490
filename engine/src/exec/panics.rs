//! Where a step panicked.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics leave their place behind, once in a process. The hook that was there goes on being called.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
            PLACE.set(place);
            before(info);
        }));
    });
}

/// The place of the latest panic of this thread, once.
pub(crate) fn take_place() -> Option<String> {
    PLACE.take()
}
