//! Whatever a workflow consists of and whatever happens to its workers, it ends as its definition says.

use stepwell_tests::report::passes;

#[test]
fn random_programs_end_as_the_model_says() {
    passes(env!("CARGO_BIN_EXE_programs"), &[]);
}
