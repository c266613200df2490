//! Whatever byte of a closed store is changed: it is noticed or harmless, and nothing that is there is lost in silence.

use stepwell_contract::FaultKind;

use crate::disk::sim::SimDisk;
use crate::tests::work::{Work, carry_out, on_runtime, open, open_keeping, read_all};

#[test]
fn every_changed_byte_is_noticed_or_harmless() {
    let work = Work::new(3, 4);
    let disk = SimDisk::default();
    on_runtime(async {
        let store = open(&disk).expect("opens");
        for call in &work.calls {
            carry_out(&store, call).await.expect("nothing fails");
        }
    });
    let expected = work.states.last().expect("never empty");
    let mut noticed = 0;
    for name in disk.names() {
        let mut len = 0;
        disk.change(&name, |bytes| len = bytes.len());
        for at in 0..len {
            let damaged = disk.copy();
            damaged.change(&name, |bytes| bytes[at] ^= 1 << (at % 8));
            // With the index only what is read is looked at, without it everything is.
            if at % 2 == 0 {
                damaged.lose_index();
            }
            let found = on_runtime(async { read_all(&open_keeping(&damaged, 100)?).await });
            match found {
                Ok(found) => assert!(found == *expected, "{name}, byte {at}: lost in silence"),
                Err(error) => {
                    assert_eq!(error.kind(), FaultKind::Corrupt, "{name}, byte {at}: {error}");
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 300, "{noticed}");
}
