//! The values that two sources have in common, without those that everybody has.
//!
//! Every window of eight bytes of a transcript is kept, in each form ([`crate::pieces`]), with how many
//! people have it. What more than half of a service's people have is common: names of fields, keys,
//! issuers, the epoch. Another source is then read window by window; where windows that are known
//! follow one another, the bytes in them that belong to no common window are what was joined, and
//! eight such bytes, or as many characters as it takes to write eight, are a join. A value that differs from a common one by a character is none.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use crate::pieces::each_form;
use crate::sqlite;
use crate::times::{self, TimeJoin};
use crate::transcript::{Login, Transcript, without_staple};
use crate::words;

/// Bytes that make a value.
const VALUE: usize = 8;
/// Digits of a time in milliseconds: as many and no more are looked at as times.
const TIME_DIGITS: usize = 13;
/// Most joins that are told apart; more would not be read.
const MOST_JOINS: usize = 1000;

type Window = u64;

/// Who has a window, and where it was met first.
struct Met {
    people: u32,
    last: u32,
    place: u32,
}

/// A transcript, taken apart.
struct Side {
    name: String,
    people: usize,
    windows: HashMap<Window, Met>,
    places: Vec<String>,
    pieces: Vec<(u32, u32, Vec<u8>)>,
    times: Vec<u64>,
}

/// A value that stands in two sources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Join {
    pub between: [String; 2],
    /// Where it stands in each, with the forms in which it does.
    pub places: [String; 2],
    /// The most bytes in common, and how many times.
    pub bytes: usize,
    pub times: usize,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub joined: bool,
    pub values: Vec<Join>,
    pub times: Vec<TimeJoin>,
    /// How many people each transcript is of, and how many bytes were stored.
    pub people: [usize; 2],
    pub stored_bytes: u64,
}

/// Two transcripts, and what was found in the files that were looked at.
pub struct Check {
    sides: [Side; 2],
    found: BTreeMap<([String; 2], [String; 2]), (usize, usize)>,
    events: BTreeMap<String, Vec<u64>>,
    stored_bytes: u64,
}

impl Side {
    fn new(transcript: &Transcript) -> Self {
        let people = transcript.people();
        let mut side = Self {
            name: transcript.name.clone(),
            people: people.len(),
            windows: HashMap::new(),
            places: Vec::new(),
            pieces: Vec::new(),
            times: transcript
                .logins
                .iter()
                .map(|login| login.time_ms)
                .collect(),
        };
        // Person by person, so that a person counts once.
        let mut logins: Vec<(usize, &Login)> = transcript
            .logins
            .iter()
            .map(|login| {
                (
                    people.partition_point(|p| *p < login.subject.as_str()),
                    login,
                )
            })
            .collect();
        logins.sort_by_key(|(person, _)| *person);
        let mut places = HashMap::new();
        for (person, login) in logins {
            let mut take = |place: &str, text: &[u8]| {
                let bare = std::str::from_utf8(text).ok().and_then(without_staple);
                let text = bare.as_ref().map_or(text, String::as_bytes);
                each_form(text, &mut |forms, bytes| {
                    let place = described(place, forms);
                    let next = places.len() as u32;
                    let place = *places.entry(place).or_insert(next);
                    side.take(person as u32, place, bytes);
                });
            };
            take("subject", login.subject.as_bytes());
            leaves("received", &login.received, &mut take);
        }
        let mut names: Vec<(String, u32)> = places.into_iter().collect();
        names.sort_by_key(|(_, index)| *index);
        side.places = names.into_iter().map(|(name, _)| name).collect();
        side
    }

    fn take(&mut self, person: u32, place: u32, bytes: &[u8]) {
        for window in windows(bytes) {
            let met = self.windows.entry(window).or_insert(Met {
                people: 0,
                last: u32::MAX,
                place,
            });
            if met.last != person {
                (met.last, met.people) = (person, met.people + 1);
            }
        }
        self.pieces.push((person, place, bytes.to_vec()));
    }

    fn is_common(&self, window: Window) -> bool {
        let met = self.windows.get(&window);
        met.is_some_and(|met| met.people as usize * 2 > self.people)
    }

    /// Gives `each` the place here and the number of bytes of every value that stands in `bytes` too.
    fn look_into(
        &self,
        bytes: &[u8],
        also_common: impl Fn(Window) -> bool,
        mut each: impl FnMut(u32, usize),
    ) {
        // The run of known windows: where it began, its own bytes so far, and where they stand here.
        let mut own: Vec<usize> = Vec::new();
        let mut place = 0;
        // Bytes before this belong to a common window.
        let mut common_to = 0;
        let mut taken_to = 0;
        let mut close = |own: &mut Vec<usize>, place: u32| {
            if let Some(worth) = worth(bytes, own) {
                each(place, worth);
            }
            own.clear();
        };
        for (at, window) in windows(bytes).enumerate() {
            let Some(met) = self.windows.get(&window).filter(|_| says_something(window)) else {
                if at >= taken_to {
                    close(&mut own, place);
                }
                continue;
            };
            if self.is_common(window) || also_common(window) {
                common_to = at + VALUE;
                own.retain(|byte| *byte < at);
            } else {
                if own.is_empty() {
                    place = met.place;
                }
                let from = at.max(common_to).max(own.last().map_or(0, |last| last + 1));
                own.extend(from..at + VALUE);
            }
            taken_to = at + VALUE;
        }
        close(&mut own, place);
    }
}

impl Check {
    /// Takes two transcripts apart and compares them.
    pub fn new(one: &Transcript, other: &Transcript) -> Self {
        let sides = [Side::new(one), Side::new(other)];
        let mut check = Self {
            sides,
            found: BTreeMap::new(),
            events: BTreeMap::new(),
            stored_bytes: 0,
        };
        let [one, other] = &check.sides;
        let mut found = Vec::new();
        for (_, place, bytes) in &other.pieces {
            let there = &other.places[*place as usize];
            one.look_into(
                bytes,
                |window| other.is_common(window),
                |here, count| {
                    found.push((here, there.clone(), count));
                },
            );
        }
        let between = [one.name.clone(), other.name.clone()];
        let found: Vec<_> = found
            .into_iter()
            .map(|(here, there, count)| ([one.places[here as usize].clone(), there], count))
            .collect();
        for (places, count) in found {
            check.note(between.clone(), places, count);
        }
        check
    }

    /// Looks into a file, or a part of one, that `source` has stored.
    pub fn store(&mut self, source: &str, file: &str, bytes: &[u8]) {
        self.stored_bytes += bytes.len() as u64;
        let mut found = Vec::new();
        each_form(bytes, &mut |forms, bytes| {
            for (index, side) in self.sides.iter().enumerate() {
                side.look_into(
                    bytes,
                    |_| false,
                    |here, count| {
                        found.push((index, here, described(file, forms), count));
                    },
                );
            }
        });
        for (index, here, there, count) in found {
            let side = &self.sides[index];
            let places = [side.places[here as usize].clone(), there];
            self.note([side.name.clone(), source.to_owned()], places, count);
        }
        self.read_times(source, bytes);
    }

    /// Integers of a database that are times of the days of the transcripts: SQLite's by row, in
    /// seconds or milliseconds, others' as [`words`] finds them.
    fn read_times(&mut self, source: &str, bytes: &[u8]) {
        const DAY_MS: u64 = 86_400_000;
        let all = self.sides.iter().flat_map(|side| &side.times);
        let (Some(first), Some(last)) = (all.clone().min(), all.max()) else {
            return;
        };
        let days = first.saturating_sub(DAY_MS)..=last.saturating_add(DAY_MS);
        let events = self.events.entry(source.to_owned()).or_default();
        let Some(rows) = sqlite::rows(bytes) else {
            events.extend(words::times(bytes, &days));
            return;
        };
        for row in rows {
            for integer in row.integers {
                let forms = [integer, integer.saturating_mul(1000)];
                events.extend(forms.into_iter().filter(|time| days.contains(time)));
            }
        }
    }

    fn note(&mut self, between: [String; 2], places: [String; 2], bytes: usize) {
        let key = (between, places);
        if self.found.len() >= MOST_JOINS && !self.found.contains_key(&key) {
            return;
        }
        let (most, times) = self.found.entry(key).or_default();
        *most = bytes.max(*most);
        *times += 1;
    }

    /// What was found.
    pub fn report(&self) -> Report {
        let [one, other] = &self.sides;
        let mut found = Vec::new();
        found.extend(times::follow(
            [&one.name, &other.name],
            &one.times,
            &other.times,
        ));
        found.extend(times::follow(
            [&other.name, &one.name],
            &other.times,
            &one.times,
        ));
        for side in &self.sides {
            for (source, events) in &self.events {
                found.extend(times::follow([&side.name, source], &side.times, events));
            }
        }
        let values: Vec<Join> = self
            .found
            .iter()
            .map(|((between, places), (bytes, times))| Join {
                between: between.clone(),
                places: places.clone(),
                bytes: *bytes,
                times: *times,
            })
            .collect();
        Report {
            joined: !values.is_empty() || !found.is_empty(),
            values,
            times: found,
            people: [one.people, other.people],
            stored_bytes: self.stored_bytes,
        }
    }
}

fn described(place: &str, forms: &str) -> String {
    if forms.is_empty() {
        place.to_owned()
    } else {
        format!("{place} ({forms})")
    }
}

fn windows(bytes: &[u8]) -> impl Iterator<Item = Window> + '_ {
    bytes.windows(VALUE).map(|window| {
        window
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte))
    })
}

/// Padding is no value: three different bytes are the least.
fn says_something(window: Window) -> bool {
    let mut bytes = window.to_be_bytes();
    bytes.sort_unstable();
    bytes.windows(2).filter(|pair| pair[0] != pair[1]).count() >= 2
}

/// How many bytes the common ones amount to, if they are a value: two characters of hex are one byte,
/// four of base64 are three, as they would be in another form. A time is none.
fn worth(bytes: &[u8], own: &[usize]) -> Option<usize> {
    let all = |belongs: fn(&u8) -> bool| own.iter().all(|at| belongs(&bytes[*at]));
    if own.len() <= TIME_DIGITS && all(u8::is_ascii_digit) {
        return None;
    }
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+/=".contains(byte);
    let worth = if all(u8::is_ascii_hexdigit) {
        own.len() / 2
    } else if all(of_base64) {
        own.len() * 3 / 4
    } else {
        own.len()
    };
    (worth >= VALUE).then_some(worth)
}

/// Every text of a JSON value with the names that lead there. Items of a list stand at one place.
fn leaves(place: &str, value: &Value, each: &mut impl FnMut(&str, &[u8])) {
    match value {
        Value::String(text) => each(place, text.as_bytes()),
        Value::Number(number) => each(place, number.to_string().as_bytes()),
        Value::Array(items) => items.iter().for_each(|item| leaves(place, item, each)),
        Value::Object(members) => {
            for (name, value) in members {
                leaves(&format!("{place}.{name}"), value, each);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
