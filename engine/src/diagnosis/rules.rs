//! What Stepwell knows of failures: one rule a file, the most specific first.
//!
//! A rule looks at a [`Seen`] case and answers with a finding or not at all. The first rule counts that is at least fairly sure;
//! where none is, the first that found anything.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;

/// A rule: how it finds what it may answer, and for tests the codes it may answer with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    #[cfg(test)]
    pub(crate) codes: &'static [&'static str],
    pub(crate) find: fn(&Seen<'_>) -> Option<Finding>,
}

/// Declares the rules and, for tests, the fixtures that each of them must have.
macro_rules! rules {
    ($($name:ident => $($code:literal)+;)*) => {
        $(mod $name;)*

        /// Every rule, the most specific first.
        pub(crate) const RULES: &[Rule] = &[$(Rule {
            #[cfg(test)]
            codes: &[$($code),+],
            find: $name::find,
        },)*];

        #[cfg(test)]
        pub(crate) const FIXTURES: &[fixtures::Fixtures] = &[$(fixtures::Fixtures {
            rule: stringify!($name),
            codes: &[$($code),+],
            positives: $name::fixtures::positives,
            decoys: $name::fixtures::decoys,
            find: $name::find,
        },)*];
    };
}

rules! {
    // What stands beside the attempts is about the run as a whole, and says so without doubt.
    unregistered => "SW8101";
    stale_owner => "SW6001";
    cascade => "SW8201" "SW8202" "SW8203";
    cancelled => "SW8001";
    unread_value => "SW1104" "SW1203";
    queue => "SW6009" "SW6010";
    limit_key => "SW6011" "SW6012";
    // Where a worker went away, how it went.
    host_gone => "SW6005" "SW6006";
    poison => "SW6007";
    lost_worker => "SW6002" "SW6003" "SW6004" "SW6013" "SW6014";
    // What the engine itself saw of the attempt.
    output => "SW1201" "SW1202";
    panic => "SW1001";
    clock => "SW2007";
    blocked_thread => "SW2004";
    run_deadline => "SW2005" "SW2008";
    step_deadline => "SW2006";
    short_timeout => "SW2001";
    slow => "SW2003";
    hung => "SW2002";
    unreported => "SW2009" "SW2010";
    store => "SW7001" "SW7002" "SW7003" "SW7004" "SW7005" "SW7006" "SW7007" "SW7008" "SW7009" "SW7010" "SW7011";
    // Surroundings.
    missing_setting => "SW3008";
    read_only => "SW3005";
    full_disk => "SW3004" "SW3009" "SW3010";
    name_length => "SW3006";
    open_files => "SW3007";
    wrong_path => "SW3002";
    missing_file => "SW3001";
    denied => "SW3003";
    // What it talks to.
    throttled => "SW4006";
    login => "SW5001" "SW5002" "SW5003";
    dependency_down => "SW4005";
    flaky => "SW4007";
    connection => "SW4001" "SW4002" "SW4003" "SW4004" "SW4008" "SW4009" "SW4010";
    // Data.
    duplicate => "SW1103";
    bad_data => "SW1102";
    bad_input => "SW1101";
    // Comparisons, which show what goes together and not why.
    one_worker => "SW6008";
    one_version => "SW1301";
    large_input => "SW1302";
}

#[cfg(test)]
pub(crate) mod fixtures;
