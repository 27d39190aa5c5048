//! Which version of a document is asked for, and which ones are proved (spec/did.md, D17 and D18).
//!
//! A version is a sequence number; a recovery takes effect without an operation, so the version
//! after it has `.1` behind the number. The record that stands proves itself from its last change
//! on, and the inception, which the DID is the hash of, version 0. What lies between is proved in
//! the states of its time, as far as nodes have kept the proofs.

use super::refusal::{Refused, Why};
use realdid_core::did::Inception;
use realdid_core::state::DidRecord;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Newest,
    Id(VersionId),
    /// Unix seconds.
    Time(u64),
}

/// A version by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionId {
    pub seq: u64,
    /// A recovery that this operation asked for has taken effect.
    pub recovered: bool,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = if self.recovered { ".1" } else { "" };
        write!(f, "{}{effect}", self.seq)
    }
}

impl Version {
    /// Reads `versionId` and `versionTime`, of which there is at most one.
    pub fn asked(id: Option<String>, time: Option<String>) -> Result<Self, Refused> {
        match (id, time) {
            (None, None) => Some(Self::Newest),
            (Some(id), None) => read_id(&id).map(Self::Id),
            (None, Some(time)) => read_time(&time).map(Self::Time),
            (Some(_), Some(_)) => None,
        }
        .ok_or_else(|| Why::Version.into())
    }
}

fn read_id(text: &str) -> Option<VersionId> {
    let (seq, recovered) = match text.strip_suffix(".1") {
        Some(seq) => (seq, true),
        None => (text, false),
    };
    let seq: u64 = seq.parse().ok()?;
    let id = VersionId { seq, recovered };
    // One version has one name.
    (id.to_string() == text).then_some(id)
}

/// A datetime as DID Resolution §3.1 wants it: in UTC, to the second.
fn read_time(text: &str) -> Option<u64> {
    let plain = text.len() == "2026-11-22T17:47:17Z".len() && text.ends_with('Z');
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let seconds = time.filter(|_| plain)?.unix_timestamp();
    u64::try_from(seconds).ok()
}

/// A version of an anchored DID that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proved {
    /// The record as this version has it.
    pub record: DidRecord,
    pub id: VersionId,
    /// When the next version begins (Unix milliseconds, where it is known) and its name.
    pub next: Option<(Option<u64>, VersionId)>,
}

/// What is proved of a DID.
pub(super) struct Known {
    /// By ascending sequence number; the last is the record that stands.
    records: Vec<DidRecord>,
    has_inception: bool,
}

impl Known {
    /// `earlier` are proved in the states of their time. The inception proves the first one.
    pub fn new(
        stored: &DidRecord,
        mut earlier: Vec<DidRecord>,
        inception: Option<&Inception>,
    ) -> Self {
        let first = inception.map(|inception| DidRecord {
            seq: 0,
            keys: inception.keys.clone(),
            frozen: false,
            pending: None,
            updated_ms: stored.created_ms,
            ..stored.clone()
        });
        earlier.extend(first);
        earlier.retain(|record| record.seq < stored.seq);
        earlier.sort_by_key(|record| record.seq);
        earlier.dedup_by_key(|record| record.seq);
        earlier.push(stored.clone());
        Self {
            records: earlier,
            has_inception: inception.is_some(),
        }
    }

    /// The version that is asked for, as the state has it at `now_ms`, the checkpoint's time. Nothing
    /// where the DID stood by its inception then.
    pub fn version(&self, asked: Version, now_ms: u64) -> Result<Option<Proved>, Why> {
        let last = self.records.len().saturating_sub(1);
        match asked {
            Version::Newest => self.at(last, now_ms, now_ms).map(Some),
            Version::Id(id) => self.named(id, now_ms).map(Some),
            Version::Time(second) => self.at_time(second, now_ms),
        }
    }

    fn named(&self, id: VersionId, now_ms: u64) -> Result<Proved, Why> {
        let newest = self.records.last().ok_or(Why::Unknown)?;
        // The anchor asks for no recovery.
        if id.seq > newest.seq || (id.seq == 0 && id.recovered) {
            return Err(Why::VersionUnknown);
        }
        let place = self.records.iter().position(|record| record.seq == id.seq);
        let place = place.ok_or(Why::VersionUnproved)?;
        let record = &self.records[place];
        let proved = match (&record.pending, id.recovered) {
            (Some(pending), true) => self.at(place, pending.effective_ms, now_ms)?,
            _ => self.at(place, record.updated_ms, now_ms)?,
        };
        if proved.id == id {
            Ok(proved)
        } else {
            Err(Why::VersionUnknown)
        }
    }

    fn at_time(&self, second: u64, now_ms: u64) -> Result<Option<Proved>, Why> {
        let from_ms = second.saturating_mul(1000);
        if from_ms > now_ms {
            return Err(Why::VersionAhead);
        }
        // Documents say times to the second, so that a second is meant whole.
        let time_ms = from_ms.saturating_add(999).min(now_ms);
        let newest = self.records.last().ok_or(Why::Unknown)?;
        if time_ms < newest.created_ms {
            return self.has_inception.then_some(None).ok_or(Why::Unknown);
        }
        let place = self
            .records
            .iter()
            .rposition(|record| record.updated_ms <= time_ms);
        let place = place.ok_or(Why::VersionUnproved)?;
        // What followed it may have begun before that time.
        if self.end_ms(place, now_ms).is_none() {
            return Err(Why::VersionUnproved);
        }
        self.at(place, time_ms, now_ms).map(Some)
    }

    /// When the version after a record's operation begins, or now; none where that one is not proved.
    fn end_ms(&self, place: usize, now_ms: u64) -> Option<u64> {
        match self.records.get(place + 1) {
            None => Some(now_ms),
            Some(next) if next.seq == self.records[place].seq + 1 => Some(next.updated_ms),
            Some(_) => None,
        }
    }

    /// The version that an operation has made, or the one that a recovery has made of it, as it is at
    /// `time_ms`.
    fn at(&self, place: usize, time_ms: u64, now_ms: u64) -> Result<Proved, Why> {
        let record = self.records.get(place).ok_or(Why::Unknown)?;
        let is_newest = place + 1 == self.records.len();
        let end_ms = self.end_ms(place, now_ms);
        let name = |seq, recovered| VersionId { seq, recovered };
        let effective_ms = record.pending.as_ref().map(|pending| pending.effective_ms);
        // Whether a recovery took effect before the next operation, which may have been against it.
        let took_effect = match (effective_ms, end_ms) {
            (None, _) => None,
            (Some(_), None) => return Err(Why::VersionUnproved),
            (Some(effective_ms), Some(end_ms)) => {
                let in_time = effective_ms < end_ms || (is_newest && effective_ms == end_ms);
                in_time.then_some(effective_ms)
            }
        };
        let follows = (!is_newest).then_some((end_ms, name(record.seq + 1, false)));
        Ok(match took_effect {
            Some(effective_ms) if effective_ms <= time_ms => Proved {
                record: record.at(effective_ms),
                id: name(record.seq, true),
                next: follows,
            },
            Some(effective_ms) => Proved {
                record: record.clone(),
                id: name(record.seq, false),
                next: Some((Some(effective_ms), name(record.seq, true))),
            },
            None => Proved {
                record: record.clone(),
                id: name(record.seq, false),
                next: follows,
            },
        })
    }
}

/// The same of a DID that the state does not have, and whose inception is there.
pub(super) fn of_inception(asked: Version, now_ms: u64) -> Result<(), Why> {
    match asked {
        Version::Time(second) if second.saturating_mul(1000) > now_ms => Err(Why::VersionAhead),
        Version::Id(id)
            if id
                != VersionId {
                    seq: 0,
                    recovered: false,
                } =>
        {
            Err(Why::VersionUnknown)
        }
        _ => Ok(()),
    }
}
