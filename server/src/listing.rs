//! A page of runs that fit a filter. What the index cannot decide is looked at head by head, for a bounded time for each page,
//! so that a rare filter on a large store answers in time, with a place to go on from.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stepwell::contract::{Cursor, Head, Order, Page, Query, TenantId};
use stepwell::{Engine, Error};
use utoipa::IntoParams;

use crate::filter::Filter;
use crate::problem::Problem;
use crate::view::Listed;
use crate::view::run::Run;

/// Most runs on a page.
pub(crate) const PAGE_MAX: usize = 200;
/// Runs on a page when nobody says how many.
pub(crate) const PAGE_DEFAULT: usize = 50;
/// A page that is not full after so long is returned as it is.
const LOOKING_MAX: Duration = Duration::from_millis(100);
/// Heads read at once.
const HEADS_AT_ONCE: usize = 500;

/// How much of a list, and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    pub(crate) cursor: Option<String>,
}

impl Paging {
    /// The place in a list where the page begins, and how many it has.
    ///
    /// # Errors
    /// [`Code::BadRequest`](crate::problem::Code::BadRequest) when it says neither.
    pub(crate) fn read<T: DeserializeOwned>(&self, list: List) -> Result<(Option<T>, usize), Problem> {
        Ok((list.cursor(self.cursor.as_deref())?, limit(self.limit)?))
    }
}

/// A page of the runs that fit, and where the next one begins.
pub(crate) async fn page(
    engine: &Engine,
    tenant: Option<&TenantId>,
    filter: &Filter,
    order: Order,
    mut after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Head>, Error> {
    let query = Query { order, ..filter.query(tenant) };
    let at_once = if filter.is_all_in_the_index() { limit } else { HEADS_AT_ONCE };
    let (mut items, begun) = (Vec::new(), Instant::now());
    loop {
        let found = engine.list_part(&query, after.take(), at_once).await?;
        let mut is_past = false;
        for head in found.items {
            // Pages come by the time of creation: behind the window there is nothing more to find.
            is_past = match order {
                Order::Newest => filter.since.is_some_and(|since| head.created_at < since),
                Order::Oldest => filter.until.is_some_and(|until| head.created_at >= until),
            };
            if is_past {
                break;
            }
            if filter.fits(&head) {
                let next = Cursor::of(&head);
                items.push(head);
                if items.len() == limit {
                    return Ok(Page { items, next: Some(next) });
                }
            }
        }
        after = found.next.filter(|_| !is_past);
        if after.is_none() || begun.elapsed() >= LOOKING_MAX {
            return Ok(Page { items, next: after });
        }
    }
}

/// The same as it is shown, from the place that a text means. The filter is read of `q`, which names the list in its cursors: what
/// a filter says of times moves on with the clock.
///
/// # Errors
/// [`Code::BadRequest`](crate::problem::Code::BadRequest) when the text means no place; what reading the store gives.
pub(crate) async fn shown(
    engine: &Engine,
    tenant: Option<&TenantId>,
    q: &str,
    filter: &Filter,
    order: Order,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Listed<Run>, Problem> {
    let list = List::of_runs(tenant, q, order);
    let after = list.cursor::<Cursor>(cursor)?;
    let Page { items, next } = page(engine, tenant, filter, order, after, limit).await?;
    let next_cursor = next.as_ref().map(|next| list.cursor_text(next));
    Ok(Listed { items: items.iter().map(Run::of).collect(), next_cursor })
}

/// How many items a page has, from what the request says.
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(PAGE_DEFAULT),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::bad(format!("`limit` is {limit}; it is from 1 to {PAGE_MAX}"))),
    }
}

/// A list, as its cursors know it: one of another list is not gone on with, where it would leave things out in silence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List([u8; MARK_BYTES]);

/// So much of a hash tells lists apart that somebody mixes up.
const MARK_BYTES: usize = 6;

impl List {
    /// The list that an operation answers with, by all that decides what is on it and in which order.
    pub(crate) fn of(operation: &str, asked: &impl Debug) -> Self {
        let hash = Sha256::digest(format!("{operation} {asked:?}"));
        let mut mark = [0; MARK_BYTES];
        mark.iter_mut().zip(hash).for_each(|(mark, byte)| *mark = byte);
        Self(mark)
    }

    /// The list of runs that fit a query.
    pub(crate) fn of_runs(tenant: Option<&TenantId>, q: &str, order: Order) -> Self {
        Self::of("runs", &(tenant, q.trim(), order))
    }

    /// A place in it as text that means nothing to others.
    pub(crate) fn cursor_text<T: Serialize>(self, cursor: &T) -> String {
        // A cursor is plain data: nothing in it has no JSON form.
        let place = serde_json::to_vec(cursor).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([self.0.as_slice(), &place].concat())
    }

    /// The place that a text means, if there is one.
    ///
    /// # Errors
    /// It is not one of this list.
    pub(crate) fn cursor<T: DeserializeOwned>(self, text: Option<&str>) -> Result<Option<T>, Problem> {
        let place = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            serde_json::from_slice(bytes.strip_prefix(self.0.as_slice())?).ok()
        };
        let refused = || {
            Problem::bad(
                "`cursor` is not one that a page of this list gave as `next_cursor`, with the same filter and order",
            )
        };
        text.map(|text| place(text).ok_or_else(refused)).transpose()
    }
}
