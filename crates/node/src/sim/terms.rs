//! Keys of every term of a plan, dealt before the run begins: by one dealer for the first term and
//! for a new key, and by those who have shares, as a committee does it, where the key stays.

use crate::engine::committee::{Scheme, signer};
use crate::engine::{Shares, TermKeys, deal};
use crate::sim::plan::Plan;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::Signer as _;
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{
    self, Dealer, Info, Logs, Output, Player, Reveal,
};
use commonware_cryptography::bls12381::primitives::group::Share;
use commonware_cryptography::bls12381::primitives::sharing::Mode;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_cryptography::transcript::{Transcript, Version};
use commonware_parallel::Sequential;
use commonware_utils::N3f1;
use commonware_utils::ordered::Set;
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::governance::Term;
use realdid_core::hash::HashFunction;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The shares on one validator's disk, by term.
#[derive(Clone, Default)]
pub struct SimShares(Arc<Mutex<BTreeMap<u64, TermKeys>>>);

impl SimShares {
    pub fn terms(&self) -> Vec<u64> {
        self.0.lock().unwrap().keys().copied().collect()
    }
}

impl Shares for SimShares {
    fn of(&self, term: u64) -> Option<TermKeys> {
        self.0.lock().unwrap().get(&term).cloned()
    }

    fn erase_before(&self, term: u64) {
        self.0.lock().unwrap().retain(|known, _| *known >= term);
    }
}

/// One term's keys.
pub struct DealtTerm {
    /// Its first height is not known yet.
    pub term: Term,
    output: Output<MinSig, PublicKey>,
    shares: BTreeMap<usize, Share>,
}

/// Everybody's identity, and the keys of all terms.
pub struct Keyring {
    pub seeds: Vec<[u8; 32]>,
    pub keys: Vec<PublicKey>,
    pub terms: Vec<DealtTerm>,
}

impl Keyring {
    pub fn of(plan: &Plan, seed: &[u8; 32]) -> Self {
        let identities = deal(plan.seats() as u32, seed).unwrap().validators;
        let seeds: Vec<[u8; 32]> = identities.iter().map(|v| v.identity_seed).collect();
        let keys = seeds.iter().map(|seed| private(seed).public_key());
        let mut ring = Self {
            keys: keys.collect(),
            seeds,
            terms: Vec::new(),
        };
        let mut transcript = Transcript::new(b"realdid/sim/terms", Version::V1);
        transcript.commit(seed.as_slice());
        let committees = std::iter::once(((0..plan.validators).collect(), false)).chain(
            plan.successions
                .iter()
                .map(|s| (s.members.clone(), s.same_key)),
        );
        for (members, same_key) in committees {
            transcript.commit(b"term".as_slice());
            let mut noise = transcript.noise(b"shares");
            let (output, shares) = match ring.terms.last() {
                Some(before) if same_key => ring.reshare(before, &members, &mut noise),
                _ => ring.fresh(&members, &mut noise),
            };
            ring.add(members, output, shares);
        }
        ring
    }

    fn set(&self, members: &[usize]) -> Set<PublicKey> {
        let keys: Vec<_> = members.iter().map(|who| self.keys[*who].clone()).collect();
        Set::try_from(keys).unwrap()
    }

    fn fresh(
        &self,
        members: &[usize],
        rng: &mut impl rand_core::CryptoRng,
    ) -> (Output<MinSig, PublicKey>, BTreeMap<usize, Share>) {
        let set = self.set(members);
        let mode = Mode::NonZeroCounter;
        let (output, shares) = feldman_desmedt::deal::<MinSig, _, N3f1>(rng, mode, set).unwrap();
        let shares = members
            .iter()
            .map(|who| (*who, shares.get_value(&self.keys[*who]).unwrap().clone()));
        (output, shares.collect())
    }

    /// Those who have shares give shares of their shares to those who are to have them.
    fn reshare(
        &self,
        before: &DealtTerm,
        members: &[usize],
        rng: &mut impl rand_core::CryptoRng,
    ) -> (Output<MinSig, PublicKey>, BTreeMap<usize, Share>) {
        let dealers: Vec<usize> = before.shares.keys().copied().collect();
        let info = Info::<MinSig, PublicKey>::new::<N3f1>(
            b"realdid/sim",
            before.term.number + 1,
            Some(before.output.clone()),
            Mode::NonZeroCounter,
            Reveal::V1,
            self.set(&dealers),
            self.set(members),
        )
        .unwrap();
        let player = |who: &usize| {
            let key = private(&self.seeds[*who]);
            (
                *who,
                Player::<MinSig, PrivateKey>::new(info.clone(), key).unwrap(),
            )
        };
        let mut players: BTreeMap<usize, _> = members.iter().map(player).collect();
        let mut logs = Logs::<MinSig, PublicKey, N3f1>::new(info.clone());
        for who in dealers {
            let share = Some(before.shares[&who].clone());
            let key = private(&self.seeds[who]);
            let (mut dealer, public, messages) =
                Dealer::start::<N3f1>(&mut *rng, info.clone(), key, share).unwrap();
            for (to, message) in messages {
                let place = self.keys.iter().position(|key| *key == to).unwrap();
                let player = players.get_mut(&place).unwrap();
                let from = self.keys[who].clone();
                let heard = player.dealer_message::<N3f1>(from, public.clone(), message);
                if let Some(ack) = heard.unwrap() {
                    dealer.receive_player_ack(to, ack).unwrap();
                }
            }
            let (dealer, log) = dealer.finalize::<N3f1>().check(&info).unwrap();
            logs.record(dealer, log);
        }
        let mut shares = BTreeMap::new();
        let mut output = None;
        for (who, player) in players {
            let (made, share) = player
                .finalize::<N3f1>(&mut *rng, logs.clone(), &Sequential)
                .unwrap();
            shares.insert(who, share);
            output = Some(made);
        }
        (output.unwrap(), shares)
    }

    fn add(
        &mut self,
        members: Vec<usize>,
        output: Output<MinSig, PublicKey>,
        shares: BTreeMap<usize, Share>,
    ) {
        let polynomial = output.public().encode().to_vec();
        let key = output.public().public().encode().to_vec();
        let peer = |who: &usize| PeerKey(self.keys[*who].as_ref().try_into().unwrap());
        let digest = Term::polynomial_digest(HashFunction::Sha256, &polynomial);
        let number = self.terms.len() as u64;
        let mut validators: Vec<PeerKey> = members.iter().map(peer).collect();
        validators.sort();
        self.terms.push(DealtTerm {
            term: Term {
                number,
                first: 0,
                network_key: NetworkKey(key.try_into().unwrap()),
                validators,
                polynomial: (number > 0).then_some(digest),
            },
            output,
            shares,
        });
    }

    fn term_keys(&self, number: usize, who: usize) -> Option<TermKeys> {
        let dealt = &self.terms[number];
        Some(TermKeys {
            polynomial: dealt.output.public().encode().to_vec(),
            share: dealt.shares.get(&who)?.encode().to_vec(),
        })
    }

    /// What a validator has on its disk before the run.
    pub fn shares(&self, who: usize) -> SimShares {
        let all = (0..self.terms.len())
            .filter_map(|number| Some((number as u64, self.term_keys(number, who)?)));
        SimShares(Arc::new(Mutex::new(all.collect())))
    }

    /// How a validator signs in each of its terms.
    pub fn schemes(&self, namespace: &[u8], who: usize) -> BTreeMap<u64, Scheme> {
        let by = HashFunction::Sha256;
        let scheme = |number: usize| {
            let (term, keys) = (&self.terms[number].term, self.term_keys(number, who)?);
            let scheme = signer(namespace, term, by, &self.seeds[who], &keys).unwrap();
            Some((number as u64, scheme))
        };
        (0..self.terms.len()).filter_map(scheme).collect()
    }
}

fn private(seed: &[u8; 32]) -> PrivateKey {
    PrivateKey::decode(Copying(seed.as_slice())).unwrap()
}
