//! The scripts, each with the prelude in front.

use std::sync::LazyLock;

/// A script and the digest by which the server knows it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: String,
    pub(crate) digest: String,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let source = concat!(include_str!("lua/prelude.lua"), include_str!($file)).to_owned();
            let digest = redis::Script::new(&source).get_hash().to_owned();
            Script { source, digest }
        });
    )*};
}

scripts! {
    /// Judges and applies batches.
    COMMIT = "lua/commit.lua";
    /// Names ready runs.
    OFFER = "lua/offer.lua";
    /// Leases ready runs.
    TAKE = "lua/take.lua";
    /// Reads the sets of a scan.
    LIST = "lua/list.lua";
    /// Counts runs.
    TALLY = "lua/tally.lua";
    /// Deletes finished runs.
    REMOVE = "lua/remove.lua";
}
