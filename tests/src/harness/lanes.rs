//! Independent pieces of work, side by side.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Does all pieces of work, a few at a time, and returns what each gave, in no order.
///
/// # Panics
/// When a piece does.
pub fn in_lanes<T, R>(pieces: Vec<T>, work: impl Fn(T) -> R + Clone + Send + 'static) -> Vec<R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    // A piece waits for its children most of the time.
    let lanes = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8) + 1;
    let queue = Arc::new(Mutex::new(VecDeque::from(pieces)));
    let lanes: Vec<_> = (0..lanes)
        .map(|_| {
            let (queue, work) = (Arc::clone(&queue), work.clone());
            std::thread::spawn(move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                std::iter::from_fn(next).map(work).collect::<Vec<_>>()
            })
        })
        .collect();
    lanes.into_iter().flat_map(|lane| lane.join().expect("a lane does not panic")).collect()
}
