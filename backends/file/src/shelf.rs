//! Where the heads of finished runs stand in the catalogue: by sort, then by age, so that a listing of the few that failed
//! or that are of a rare workflow does not wade through all the others.

use stepwell_contract::tally::Sort;
use stepwell_contract::{Cursor, Order, RunId, RunKey, TenantId, Timestamp};

use crate::pack::{Packer, Unpacker};
use crate::run::Run;

/// The runs of a sort. Two sorts may share a shelf: who reads one looks at the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shelf(u32);

/// The bytes of the shelf before the age in the key of a row.
const SHELF_BYTES: usize = 4;

impl Shelf {
    /// The shelf of a sort, by its name in the register.
    pub(crate) fn of(sort: &str) -> Self {
        Self(crc32fast::hash(sort.as_bytes()))
    }

    /// The keys of its rows behind `after`, from the first to before the second.
    pub(crate) fn range(self, order: Order, after: Option<&Cursor>) -> (Vec<u8>, Vec<u8>) {
        let first = self.0.to_be_bytes().to_vec();
        // No row is that old, and no id has such bytes.
        let last = [&first[..], &[0xff; 9]].concat();
        let mark = after.map(|cursor| {
            let place = Place { shelf: self, created_at: cursor.created_at };
            place.row_key(&row_key(&cursor.key))
        });
        match (order, mark) {
            // The next key after one is the same with a zero byte behind it.
            (Order::Oldest, Some(mark)) => ([mark, vec![0]].concat(), last),
            (Order::Newest, Some(mark)) => (first, mark),
            (_, None) => (first, last),
        }
    }
}

/// Where the head of a finished run stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    shelf: Shelf,
    created_at: Timestamp,
}

impl Place {
    pub(crate) fn of(run: &Run) -> Self {
        Self { shelf: Shelf::of(&Sort::of(&run.head).to_string()), created_at: run.head.created_at }
    }

    /// Reads it from the beginning of a row.
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let mut row = Unpacker::new(row)?;
        Self::unpack(&mut row)
    }

    pub(crate) fn unpack(row: &mut Unpacker<'_>) -> Option<Self> {
        let shelf = Shelf(u32::try_from(row.number()?).ok()?);
        Some(Self { shelf, created_at: Timestamp(row.number()?.cast_signed()) })
    }

    pub(crate) fn pack(self, row: &mut Packer) {
        row.number(self.shelf.0.into());
        row.number(self.created_at.0.cast_unsigned());
    }

    pub(crate) fn row_key(self, key: &[u8]) -> Vec<u8> {
        [&self.shelf.0.to_be_bytes()[..], &age(self.created_at), key].concat()
    }
}

/// The part of a row's key that sorts by age, on whatever shelf.
pub(crate) fn age_of(row_key: &[u8]) -> &[u8] {
    row_key.get(SHELF_BYTES..).unwrap_or_default()
}

/// A time as bytes that sort as it does.
fn age(at: Timestamp) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}

/// A key as bytes that sort as it does: ids never hold a zero byte.
pub(crate) fn row_key(key: &RunKey) -> Vec<u8> {
    [key.tenant.as_str().as_bytes(), key.run.as_str().as_bytes()].join(&0)
}

/// The place in a scan of a row.
pub(crate) fn cursor_of(age: &[u8]) -> Option<Cursor> {
    let (at, key) = age.split_first_chunk::<8>()?;
    let (tenant, run) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    let key = RunKey::new(TenantId::new(tenant).ok()?, RunId::new(run).ok()?);
    Some(Cursor { created_at: Timestamp(i64::from_be_bytes(*at) ^ i64::MIN), key })
}
