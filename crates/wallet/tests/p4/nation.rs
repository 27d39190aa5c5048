//! A small nation in numbers: who refreshes when, who signs in where and when, and with what.

use std::collections::BTreeMap;
use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use realdid_core::genesis::Parameters;
use realdid_credential::realpass::{Envelope, Fact, Shown, binding};
use realdid_pass::facts::{Adult, Assurance, Continuity, FACTS, Facts, Kind, Region, terms};
use realdid_pass::{Context, Credential, IssuerKey, Kept, PseudonymSecrets, verify_batch};
use realdid_unlink::Transcript;
use realdid_wallet::schedule::next_pass;
use serde_json::json;

pub const ISSUER: [u8; 32] = [7; 32];
/// The first epoch in which people sign in, and how many follow.
pub const FIRST_EPOCH: u64 = 20_000;
pub const EPOCHS: u64 = 3;
const SERVICES: [&[u8]; 2] = [b"harbour-forum", b"night-market"];
/// Of what each service asks.
const ASKED: [Fact; 2] = [Fact::Region, Fact::Kind];

/// A generator with a fixed seed (SplitMix64): the same run for everybody.
pub struct Draws(u64);

impl Draws {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.iter_mut()
            .for_each(|byte| *byte = (self.next() >> 32) as u8);
        out
    }
}

impl TryRng for Draws {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.iter_mut()
            .for_each(|byte| *byte = (self.next() >> 32) as u8);
        Ok(())
    }
}
impl TryCryptoRng for Draws {}

/// How wallets come by the RealPass of an epoch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Ahead of time, when the wallet's schedule says.
    AsTheWalletPlans,
    /// Just before the first login of the epoch.
    OnDemand,
    /// As planned, but the person goes to both services, one after the other.
    ThenSignsInEverywhere,
}

/// One person, as only the simulation knows them.
pub struct Person {
    pub facts: Facts,
    /// By epoch: when the authority was asked, in Unix milliseconds.
    pub refreshes: BTreeMap<u64, u64>,
    /// By service: the times of logins, ascending.
    pub logins: [Vec<u64>; 2],
}

pub struct Nation {
    pub parameters: Parameters,
    pub people: Vec<Person>,
    /// Whether one person's response carries the same value at both services.
    pub mark: bool,
    /// What the gates saw and what was stored, once people have signed in for real.
    pub transcripts: Option<[Transcript; 2]>,
    pub authority_store: Vec<u8>,
    pub node_store: Vec<u8>,
    draws: Draws,
}

impl Nation {
    pub fn new(count: usize, refresh: Refresh, seed: u64) -> Self {
        let parameters = Parameters {
            epoch_s: 86_400,
            refresh_lead_s: 21_600,
            ..Parameters::development()
        };
        let mut draws = Draws::of(seed);
        let people = (0..count)
            .map(|_| Person::new(&parameters, refresh, &mut draws))
            .collect();
        Self {
            parameters,
            people,
            mark: false,
            transcripts: None,
            authority_store: Vec::new(),
            node_store: Vec::new(),
            draws,
        }
    }
}

impl Person {
    fn new(parameters: &Parameters, refresh: Refresh, draws: &mut Draws) -> Self {
        let regions = [Region::North, Region::East, Region::SouthCentral];
        let facts = Facts {
            epoch: 0,
            adult: Adult::Yes,
            region: regions[draws.below(3) as usize],
            kind: [Kind::Resident, Kind::Foreigner][usize::from(draws.below(4) == 0)],
            assurance: Assurance::Substantial,
            continuity: Continuity::Unbroken,
        };
        let day_ms = parameters.epoch_s * 1000;
        let mut logins = [Vec::new(), Vec::new()];
        for epoch in FIRST_EPOCH..FIRST_EPOCH + EPOCHS {
            let begins = parameters.pass_begins_ms(epoch);
            // Seven in the morning to eleven at night, the same for all.
            let mut awake = || begins + day_ms / 24 * 7 + draws.below(day_ms / 24 * 16);
            let first = awake();
            let second = match refresh {
                Refresh::ThenSignsInEverywhere => first + 30_000 + draws.below(30_000),
                _ => awake(),
            };
            logins[0].push(first);
            logins[1].push(second);
            // Some come twice, and then by their DID alone.
            for times in &mut logins {
                if draws.below(3) == 0 {
                    let last = *times.last().unwrap();
                    times.push(last + draws.below(begins + day_ms - last));
                }
            }
        }
        // Enrolled at some time of the day before, with a RealPass for that day.
        let mut now = parameters.pass_begins_ms(FIRST_EPOCH - 1) + draws.below(day_ms);
        let mut held = vec![FIRST_EPOCH - 1];
        let mut refreshes = BTreeMap::new();
        for epoch in FIRST_EPOCH..FIRST_EPOCH + EPOCHS {
            let at_ms = if refresh == Refresh::OnDemand {
                let begins = parameters.pass_begins_ms(epoch);
                let of_epoch = logins.iter().flatten().filter(|time| **time >= begins);
                of_epoch.min().unwrap() - 1000 - draws.below(2000)
            } else {
                let plan = next_pass(parameters, &held, None, now, draws.next());
                assert_eq!(plan.what, epoch);
                plan.at_ms
            };
            assert!(parameters.pass_issuable(epoch, at_ms));
            refreshes.insert(epoch, at_ms);
            held.push(epoch);
            now = at_ms;
        }
        Self {
            facts,
            refreshes,
            logins,
        }
    }

    /// The first login of an epoch: the one with a RealPass.
    pub fn first_login(&self, parameters: &Parameters, service: usize, epoch: u64) -> u64 {
        let times = self.logins[service].iter().copied();
        times
            .filter(|time| parameters.epoch_at(*time) == epoch)
            .min()
            .unwrap()
    }

    /// What a service is shown of somebody.
    pub fn shown(&self, service: usize) -> u8 {
        match ASKED[service] {
            Fact::Region => self.facts.region as u8,
            _ => self.facts.kind as u8,
        }
    }
}

/// The gate's line for a login with a RealPass, and what is verified afterwards.
struct Seen {
    line: String,
    text: String,
    binding: Vec<u8>,
}

impl Nation {
    /// Everybody enrols, refreshes and shows real RealPasses; both gates verify them. Fills the
    /// transcripts and the stores.
    pub fn sign_in_for_real(&mut self) {
        let key = IssuerKey::from_material(&[9; 32], &terms("dev", &ISSUER), FACTS).unwrap();
        let contexts = SERVICES.map(Context::service);
        let mark = hex::encode(self.draws.bytes::<16>());
        let mut seen: [Vec<Seen>; 2] = [Vec::new(), Vec::new()];
        for (index, person) in self.people.iter().enumerate() {
            let draws = &mut self.draws;
            let secrets = PseudonymSecrets::from_seed(&draws.bytes());
            let request = secrets.request(draws).unwrap();
            let kept: Kept = key.enrol(draws, &request).unwrap();
            // The ledger: tag and commitment. The authority: its reference of the person beside all else.
            let tag: [u8; 32] = draws.bytes();
            self.node_store.extend(tag);
            self.node_store.extend(kept.commitment());
            self.authority_store
                .extend(format!("person-{index:06}").bytes());
            self.authority_store.extend(tag);
            self.authority_store.extend(kept.to_bytes().as_slice());
            let dids = [(); 2].map(|()| {
                let multihash = [&[0x12, 0x20][..], &draws.bytes::<32>()].concat();
                format!("did:rdid:dev:z{}", bs58::encode(multihash).into_string())
            });
            for (epoch, at_ms) in &person.refreshes {
                let request = secrets.request(draws).unwrap();
                let facts = Facts {
                    epoch: *epoch,
                    ..person.facts
                };
                let messages = facts.messages().unwrap();
                let issued = key.issue(&request, &kept, &messages).unwrap();
                self.authority_store.extend(request.to_bytes());
                self.authority_store.extend(issued.to_bytes().as_slice());
                self.authority_store.extend(at_ms.to_be_bytes());
                let pass = Credential::accept(key.public(), &secrets, messages, issued).unwrap();
                for service in 0..2 {
                    let time_ms = person.first_login(&self.parameters, service, *epoch);
                    let nonce = hex::encode(draws.bytes::<16>());
                    let audience = format!("x509_hash:{}", service);
                    let binding = binding(&nonce, &audience, Some(&dids[service]));
                    let fact = ASKED[service].index();
                    let presentation = pass
                        .present(
                            draws,
                            key.public(),
                            &contexts[service],
                            &[0, fact],
                            &binding,
                        )
                        .unwrap();
                    let text = Envelope {
                        issuer: ISSUER,
                        presentation,
                    }
                    .to_string();
                    let pseudonym = pass.pseudonym(&contexts[service]).unwrap();
                    let line = json!({
                        "time_ms": time_ms,
                        "subject": hex::encode(pseudonym.0),
                        "received": {
                            "vp_token": {"pass": [text], "did": [hex::encode(draws.bytes::<96>())]},
                            "did": dids[service],
                            "nonce": nonce,
                            "mark": (self.mark && index == 0).then_some(&mark),
                        },
                    });
                    seen[service].push(Seen {
                        line: line.to_string(),
                        text,
                        binding,
                    });
                }
            }
        }
        for (service, seen) in seen.iter().enumerate() {
            let shown: Vec<Shown> = seen
                .iter()
                .map(|seen| Shown::read(&seen.text, &[ASKED[service]]).unwrap())
                .collect();
            let claims: Vec<_> = shown
                .iter()
                .zip(seen)
                .map(|(shown, seen)| shown.claim(&contexts[service], &seen.binding))
                .collect();
            let answers = verify_batch(&mut self.draws, key.public(), &claims);
            assert!(answers.iter().all(Result::is_ok));
        }
        let transcript = |service: usize| {
            let lines: Vec<&str> = seen[service]
                .iter()
                .map(|seen| seen.line.as_str())
                .collect();
            let name = format!("service {service}");
            Transcript::parse(&name, lines.join("\n").as_bytes()).unwrap()
        };
        self.transcripts = Some([transcript(0), transcript(1)]);
    }
}
