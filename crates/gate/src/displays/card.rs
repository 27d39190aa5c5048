//! What a badge says to people, on its page and in frames.

use realdid_exchange::display::{Kind, Verified};

use crate::refusal::Refusal;

/// What a badge says, in both of its forms.
pub struct Card<'a> {
    pub handle: &'a str,
    pub badge: String,
    pub shown: Option<&'a ShownCard>,
    /// Why nothing is shown.
    pub refusal: Option<Refusal>,
}

/// A badge that stands.
pub struct ShownCard {
    pub name: String,
    pub kind: Kind,
    pub platform: String,
    pub domain: String,
    pub issuer: String,
    pub since: String,
    pub until: String,
    pub sandbox: bool,
    pub network: String,
    pub height: u64,
    pub age_s: u64,
}

impl ShownCard {
    pub fn of(verified: &Verified, height: u64, age_s: u64) -> Self {
        Self {
            name: verified.name.text(),
            kind: verified.terms.kind,
            platform: verified.platform.clone(),
            domain: verified.domains.last().cloned().unwrap_or_default(),
            issuer: verified.issuer.clone(),
            since: date(verified.made_s),
            until: date(verified.terms.expires_s),
            sandbox: verified.sandbox,
            network: verified.terms.network.as_str().to_owned(),
            height,
            age_s,
        }
    }

    /// Whose name it is: above the name, so that a company called like a person is not taken for one.
    pub fn whose(&self) -> &'static str {
        match self.kind {
            Kind::Person => "Verified name of a person",
            Kind::Organisation => "Verified organisation",
            Kind::Backed => "Verified organisation behind this account",
        }
    }
}

/// A day, as `2026-11-25`, in UTC.
pub fn date(at_s: u64) -> String {
    // Civil from days: the calendar repeats every 400 years of 146 097 days, counted from 1 March 0000.
    let days = at_s / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let rest = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * rest + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{:02}",
        rest - (153 * shifted + 2) / 5 + 1
    )
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_named_as_the_calendar_does() {
        for (at_s, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_795_651_199, "2026-11-25"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(at_s), day);
        }
    }
}
