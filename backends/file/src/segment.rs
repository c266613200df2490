//! The files of the journal: `journal/00000001.jsonl`, `journal/00000002.jsonl`, …; one that was rewritten without its
//! dead lines for the second time is `journal/00000001-2.jsonl`.

use std::io;
use std::sync::Arc;

use stepwell_contract::StoreId;

use crate::disk::{Disk, DiskFile};
use crate::entry::{self, FORMAT, Header};
use crate::line;
use crate::run::SegmentId;

/// The ending of a file that is not finished yet.
pub(crate) const UNFINISHED: &str = ".tmp";

impl SegmentId {
    /// The segment as first written.
    pub(crate) fn first(number: u32) -> Self {
        Self { number, generation: 0 }
    }

    /// Its file.
    pub(crate) fn file_name(self) -> String {
        match self.generation {
            0 => format!("journal/{:08}.jsonl", self.number),
            generation => format!("journal/{:08}-{generation}.jsonl", self.number),
        }
    }

    /// The segment whose file has this name within the journal's folder.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".jsonl")?;
        let (number, generation) = stem.split_once('-').unwrap_or((stem, "0"));
        let id = Self { number: number.parse().ok()?, generation: generation.parse().ok()? };
        (id.file_name().strip_prefix("journal/") == Some(name)).then_some(id)
    }
}

/// The sealed first line of a segment.
pub(crate) fn header_line(store: StoreId, id: SegmentId) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Body {
        header: Header,
    }
    let header = Header { format: FORMAT, store, segment: id.number, generation: id.generation };
    let mut bytes = Vec::new();
    entry::write(&mut bytes, &Body { header });
    line::seal(&mut bytes, 0);
    bytes
}

/// Makes an empty segment, durably: name and header are on the disk before any line in it can be acknowledged.
pub(crate) fn create(disk: &dyn Disk, store: StoreId, id: SegmentId) -> io::Result<(Arc<dyn DiskFile>, u32)> {
    let name = id.file_name();
    let header = header_line(store, id);
    let file = disk.create(&name)?;
    file.write_all_at(&header, 0)?;
    file.sync()?;
    disk.sync_folder(&name)?;
    Ok((file, u32::try_from(header.len()).expect("a header is short")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_names_one_segment_and_nothing_else_does() {
        for id in [SegmentId::first(1), SegmentId { number: 123_456_789, generation: 12 }] {
            let name = id.file_name();
            assert_eq!(SegmentId::of_file(name.strip_prefix("journal/").expect("in it")), Some(id));
        }
        for name in ["1.jsonl", "00000001-0.jsonl", "00000001.jsonl.tmp", "+0000001.jsonl", "x"] {
            assert_eq!(SegmentId::of_file(name), None, "{name}");
        }
    }
}
