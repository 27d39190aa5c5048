//! Passports of an invented state, good ones and bad: made anew for each test.
#![allow(
    clippy::expect_used,
    reason = "for tests: a specimen that cannot be made ends the test"
)]

use rcgen::KeyUsagePurpose;
use realdid_passport::specimen::{Contents, Facts, HashBy, KeyKind, Signing, State};
use std::path::Path;

const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 365 * DAY_S;

/// What is wrong with a passport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Nothing,
    /// Signed by a signer of another state that is believed.
    OtherCountry,
    /// The name was changed after it was signed.
    AlteredGroup,
    /// The signer's certificate is over.
    ExpiredSigner,
    /// The signer is on its state's revocation list.
    RevokedSigner,
    /// Signed by somebody who made a state of the same name.
    ForgedState,
    /// The passport itself is over.
    Expired,
    /// Hashes by SHA-1.
    Sha1,
}

impl Flaw {
    /// Each kind of bad passport, with the code by which it is refused.
    pub const BAD: [(Self, &'static str); 7] = [
        (Self::OtherCountry, "passport.country"),
        (Self::AlteredGroup, "passport.altered"),
        (Self::ExpiredSigner, "passport.signer_expired"),
        (Self::RevokedSigner, "passport.signer_revoked"),
        (Self::ForgedState, "passport.untrusted"),
        (Self::Expired, "passport.expired"),
        (Self::Sha1, "passport.algorithm"),
    ];
}

/// Somebody of the invented state QNA, born in 1988, whose passport is good until 2049.
pub const SOMEBODY: Facts<'static> = Facts {
    state: "QNA",
    family_name: "VANDERQUISTOVA",
    given_name: "ILSABET MARU",
    number: "Q1234567",
    nationality: "QNA",
    birth: "880229",
    sex: 'F',
    expiry: "490101",
    personal: "",
};

/// Two invented states that are believed, and one that only has the name of the first.
pub struct World {
    own: State,
    other: State,
    forged: State,
    now_s: u64,
}

const REVOKED: u64 = 13;

impl World {
    /// As it is at `now_s`.
    pub fn new(now_s: u64) -> Self {
        let state = |country| {
            let (from_s, until_s) = (now_s - 5 * YEAR_S, now_s + 15 * YEAR_S);
            let made = State::new(
                country,
                "Country Signing CA",
                KeyKind::P384,
                from_s,
                until_s,
            );
            made.expect("a state is made")
        };
        Self {
            own: state("QN"),
            other: state("QR"),
            forged: state("QN"),
            now_s,
        }
    }

    /// The certificate of the first state's country signing CA.
    pub fn certificate(&self) -> &[u8] {
        &self.own.certificate
    }

    /// Its revocation list, PEM.
    pub fn revocation_list(&self) -> String {
        self.list_of(&self.own)
    }

    fn list_of(&self, state: &State) -> String {
        state
            .revocation_list(&[REVOKED], self.now_s - DAY_S, self.now_s + 30 * DAY_S)
            .expect("a list is made")
    }

    /// Writes the two folders of an authority's configuration, `master-list` and `revocation-lists`.
    pub fn write_lists(&self, dir: &Path) {
        for (state, name) in [(&self.own, "qna"), (&self.other, "qra")] {
            let list = self.list_of(state);
            for (folder, text) in [
                ("master-list", state.certificate_pem.as_str()),
                ("revocation-lists", list.as_str()),
            ] {
                let folder = dir.join(folder);
                std::fs::create_dir_all(&folder).expect("a folder is made");
                let written = std::fs::write(folder.join(format!("{name}.pem")), text);
                written.expect("a list is written");
            }
        }
    }

    /// A chip's security object and data groups.
    pub fn passport(&self, facts: &Facts<'_>, flaw: Flaw) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
        let state = match flaw {
            Flaw::OtherCountry => &self.other,
            Flaw::ForgedState => &self.forged,
            _ => &self.own,
        };
        let signer = state.signer(&Signing {
            country: if flaw == Flaw::OtherCountry {
                "QR"
            } else {
                "QN"
            },
            kind: KeyKind::P256,
            serial: if flaw == Flaw::RevokedSigner {
                REVOKED
            } else {
                7
            },
            from_s: self.now_s - YEAR_S,
            until_s: match flaw {
                Flaw::ExpiredSigner => self.now_s - 1,
                _ => self.now_s + 10 * YEAR_S,
            },
            usages: &[KeyUsagePurpose::DigitalSignature],
            is_authority: false,
        });
        let expired = Facts {
            expiry: "200101",
            ..*facts
        };
        let facts = if flaw == Flaw::Expired {
            &expired
        } else {
            facts
        };
        let group = |facts: &Facts<'_>| facts.group().expect("a zone is made");
        let groups = vec![(1, group(facts))];
        let hash = match flaw {
            Flaw::Sha1 => HashBy::SHA_1,
            _ => HashBy::SHA_256,
        };
        let object = signer.and_then(|signer| {
            signer.security_object(&Contents {
                hash,
                groups: &groups,
                signed_s: Some(self.now_s - 100 * DAY_S),
                pss: false,
            })
        });
        let shown = match flaw {
            Flaw::AlteredGroup => {
                let somebody_else = Facts {
                    family_name: "SOMEBODYELSE",
                    ..*facts
                };
                vec![(1, group(&somebody_else))]
            }
            _ => groups,
        };
        (object.expect("an object is made"), shown)
    }
}
