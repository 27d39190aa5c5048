//! Watching one's own person tag (promises P5 and P6; spec/wallet.md, W14): whatever is done under it moves its entry.
//!
//! A node sees that somebody asks for this entry, and when. So it is asked on the schedule of the
//! refreshes and where the person asks, and never in a login; a login repeats what the last look
//! has shown.

use crate::content::{Entry, OwnEnrolment, Watched};
use crate::error::CliError;
use crate::ledger::{Ledger, now_ms};
use crate::schedule::utc;
use crate::wallet::Wallet;
use realdid_core::genesis::Parameters;
use realdid_core::state::{Enrolment, Standing};

/// What the entry under one's own tag shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// The entry is as the wallet left it.
    Still(Standing),
    /// The authority changed its standing.
    Moved(Standing, &'static str),
    /// The authority announced that the pseudonym secrets are replaced, and this wallet did not ask
    /// for it.
    Reset {
        /// Unix milliseconds from which other secrets are accepted.
        effective_ms: u64,
        /// Whether that time is over.
        done: bool,
    },
    /// Somebody was enrolled under the tag who is not this wallet, or the entry is gone.
    NotOurs,
}

impl Watch {
    /// The word for it in answers.
    pub fn standing(&self) -> &'static str {
        match self {
            Self::Still(standing) | Self::Moved(standing, _) => standing.name(),
            Self::Reset { done: false, .. } => "reset-pending",
            Self::Reset { done: true, .. } => "reset",
            Self::NotOurs => "not-ours",
        }
    }

    /// What the person must be told, if anything.
    pub fn notice(&self, now_ms: u64) -> Option<String> {
        match self {
            Self::Still(Standing::Active) => None,
            Self::Still(standing) => Some(format!("your enrolment is {}", standing.name())),
            Self::Moved(standing, reason) => Some(format!(
                "your enrolment was changed by the authority: it is {} now (reason: {reason})",
                standing.name()
            )),
            Self::Reset {
                effective_ms,
                done: false,
            } => Some(format!(
                "ALARM: the authority announced a reset of your RealPass secrets, as for somebody who lost device and recovery words. It takes effect at {}, in {}. From then on whoever asked for it can be you at every service, under new pseudonyms, and this wallet gets no RealPass any more. If it was not you, object before then: go to the authority's counter with your evidence and have it taken back; if it is not, to its supervisor. The proof is on the ledger.",
                utc(*effective_ms),
                span(effective_ms.saturating_sub(now_ms)),
            )),
            Self::Reset {
                effective_ms,
                done: true,
            } => Some(format!(
                "ALARM: your RealPass secrets were reset; since {} the authority accepts others in the place of this wallet's. If it was not you, go to the authority's counter and to its supervisor; the proof is on the ledger.",
                utc(*effective_ms)
            )),
            Self::NotOurs => Some(
                "ALARM: the entry under your person tag is not this wallet's. Somebody was enrolled in your name, or you enrolled on another device. If it was not you, go to the authority's counter and to its supervisor; the proof is on the ledger.".into(),
            ),
        }
    }
}

/// A length of time for people.
fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Judges the entry against what the wallet knows.
pub fn judge(
    own: &OwnEnrolment,
    known: &Entry,
    found: Option<&Enrolment>,
    parameters: &Parameters,
    now_ms: u64,
) -> Watch {
    let Some(found) = found.filter(|found| found.commitment == own.commitment) else {
        return Watch::NotOurs;
    };
    match found.reset_ms {
        // Before standing: a reset that is to go unnoticed would come with another change.
        Some(at_ms) if found.reset_ms != known.reset_ms => Watch::Reset {
            effective_ms: at_ms.saturating_add(parameters.recovery_delay_s.saturating_mul(1000)),
            done: found.reset_effective(parameters, now_ms),
        },
        _ if found.seq == known.seq => Watch::Still(found.standing),
        _ => Watch::Moved(found.standing, found.reason.name()),
    }
}

/// Looks at the entry under the person's tag. A change of standing is taken note of; a reset and an
/// entry that is not ours stay an alarm until the person enrols again. Answers the proved entry
/// too, where it is ours.
pub async fn watch(
    wallet: &mut Wallet,
    ledger: &mut Ledger,
) -> Result<Option<(Watch, Option<Enrolment>)>, CliError> {
    let own = wallet.content.enrolment.clone();
    let Some((own, known)) = own.and_then(|own| own.entry.clone().map(|entry| (own, entry))) else {
        return Ok(None);
    };
    let proved = ledger.enrolment(&mut wallet.content, &known.tag, 0).await?;
    let at_ms = now_ms();
    let watch = judge(
        &own,
        &known,
        proved.value.as_ref(),
        ledger.parameters(),
        at_ms,
    );
    if let (Watch::Moved(..), Some(found)) = (&watch, &proved.value)
        && let Some(own) = &mut wallet.content.enrolment
    {
        own.entry = Some(Entry {
            seq: found.seq,
            height: proved.at.header.sealed.height,
            ..known
        });
    }
    wallet.content.watched = Some(Watched {
        at_ms,
        notice: watch.notice(at_ms),
    });
    wallet.save()?;
    let ours = proved.value.filter(|_| watch != Watch::NotOurs);
    Ok(Some((watch, ours)))
}

/// Repeats what the last look has shown, asking nobody.
pub fn repeat(wallet: &Wallet) {
    let watched = wallet.content.watched.as_ref();
    if let Some(notice) = watched.and_then(|watched| watched.notice.as_ref()) {
        eprintln!("{notice}");
    }
}

#[cfg(test)]
mod tests;
