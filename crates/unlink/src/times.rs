//! Whether logins follow other events more closely than by chance.
//!
//! A wallet that asked the authority because of a login would be seen by both at once. Counted is how
//! many logins have an event within the ten seconds before them, and how often as many are found when
//! all logins are moved along the events' time, around its end, by each two-hundredth of it. A pattern
//! that both sides follow (the hours of the day) is thus taken for chance only as far as it is even.

use serde::Serialize;

/// How close is close.
const CLOSE_MS: u64 = 10_000;
/// How many moves; with none as good as the truth the chance is below 1 in 200.
const MOVES: u64 = 199;
/// Fewer coincidences say nothing.
const FEWEST: usize = 3;

/// Logins at one place that follow events of another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeJoin {
    pub between: [String; 2],
    /// Logins with an event close before them, of how many.
    pub close: usize,
    pub logins: usize,
    /// The same when the logins are moved, on average.
    pub by_chance: f64,
}

/// Compares logins with events, both in Unix milliseconds. `None` where nothing stands out.
pub fn follow(between: [&str; 2], logins: &[u64], events: &[u64]) -> Option<TimeJoin> {
    let mut events = events.to_vec();
    events.sort_unstable();
    events.dedup();
    let (first, last) = (*events.first()?, *events.last()?);
    let span = last - first;
    if span < CLOSE_MS * (MOVES + 1) {
        return None;
    }
    let close = |time: u64| {
        let before = events.partition_point(|event| *event <= time);
        before > 0 && time - events[before - 1] <= CLOSE_MS
    };
    let logins: Vec<u64> = logins
        .iter()
        .copied()
        .filter(|time| (first..=last + CLOSE_MS).contains(time))
        .collect();
    let found = logins.iter().filter(|time| close(**time)).count();
    if found < FEWEST {
        return None;
    }
    let (mut as_good, mut sum) = (0, 0);
    for step in 1..=MOVES {
        let by = span / (MOVES + 1) * step;
        let moved = logins.iter().map(|time| first + (time - first + by) % span);
        let count = moved.filter(|time| close(*time)).count();
        as_good += usize::from(count >= found);
        sum += count;
    }
    (as_good == 0).then(|| TimeJoin {
        between: between.map(str::to_owned),
        close: found,
        logins: logins.len(),
        by_chance: sum as f64 / MOVES as f64,
    })
}
