//! Each rule with the ways to break it.

use realdid_core::did::{Inception, commitment};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Decision, Enrol, Operation, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    DidRecord, Enrolment, Governance, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Service,
    Standing, Totals, did_key, enrolment_key, governance_key, issuer_id, issuer_key, service_key,
    totals_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_testkit::ledger::{REGISTRAR, TAG_KEY, TestDid, TestNet, key, key_of, keys};
use realdid_testkit::person::TestPerson;

pub(super) const TAG: Hash32 = Hash32([0x7a; 32]);
pub(super) const SERVICE: Hash32 = Hash32([0x5e; 32]);
const NOBODY: Hash32 = Hash32([0xee; 32]);
const DIGEST: Hash32 = Hash32([0xd1; 32]);

/// A network with one anchored DID, one enrolment and one service.
pub(super) struct Scene {
    pub net: TestNet,
    pub did: TestDid,
}

impl Scene {
    pub fn new() -> Self {
        Self::on(TestNet::new())
    }

    pub fn on(mut net: TestNet) -> Self {
        let did = TestDid::new(net.network(), 1);
        net.apply(&net.anchor(&did)).unwrap();
        net.apply(&net.enrol(TAG, 0)).unwrap();
        net.apply(&net.register(SERVICE, DIGEST)).unwrap();
        Self { net, did }
    }

    /// The scene after more operations, all of which are accepted.
    pub fn after(mut self, operations: &[SignedOperation]) -> Self {
        for operation in operations {
            assert_eq!(self.net.apply(operation), Ok(()));
        }
        self
    }

    /// The scene in which `broken` is about to be refused.
    pub fn breaks(self, what: &'static str, broken: SignedOperation) -> Way {
        Way {
            what,
            net: self.net,
            broken,
        }
    }

    pub fn sign(&self, body: Body, by: &SecretKey) -> SignedOperation {
        self.net.sign(body, &[by])
    }

    pub fn rotate(&self, seq: u64, to: u64) -> Body {
        Body::Rotate(self.did.id(), seq, other(&self.net, to).inception.keys)
    }

    pub fn recover(&self, seq: u64, to: u64) -> Body {
        Body::Recover(self.did.id(), seq, other(&self.net, to).inception.keys)
    }

    fn rotation(&self, seq: u64) -> SignedOperation {
        self.sign(self.rotate(seq, 2), &self.did.next)
    }

    fn freeze(&self, seq: u64) -> SignedOperation {
        self.sign(Body::Freeze(self.did.id(), seq), &self.did.recovery)
    }

    fn cancel(&self, seq: u64) -> SignedOperation {
        self.sign(Body::Cancel(self.did.id(), seq), &self.did.current)
    }

    fn deactivate(&self, seq: u64, by: &SecretKey) -> SignedOperation {
        self.sign(Body::Deactivate(self.did.id(), seq), by)
    }

    fn recovery(&self, seq: u64) -> SignedOperation {
        self.sign(self.recover(seq, 2), &self.did.recovery)
    }

    pub fn enrolment_standing(&self, seq: u64, standing: Standing) -> SignedOperation {
        let (issuer, reason) = (self.net.authority.id, ReasonCode::LostDevice);
        let body = Body::EnrolmentStanding(issuer, TAG, seq, standing, reason);
        self.sign(body, &self.net.authority.operation)
    }

    fn reset(&self, seq: u64) -> SignedOperation {
        let body = Body::ResetPass(self.net.authority.id, TAG, seq);
        self.sign(body, &self.net.authority.operation)
    }

    fn cancel_reset(&self, seq: u64) -> SignedOperation {
        let body = Body::CancelReset(self.net.authority.id, TAG, seq);
        self.sign(body, &self.net.authority.operation)
    }

    pub fn service_standing(&self, seq: u64, standing: Standing) -> SignedOperation {
        let (issuer, reason) = (self.net.registrar.id, ReasonCode::TermsBroken);
        let body = Body::ServiceStanding(issuer, SERVICE, seq, standing, reason);
        self.sign(body, &self.net.registrar.operation)
    }

    pub fn govern(&self, seq: u64, decision: Decision) -> SignedOperation {
        let by: Vec<_> = self.net.governors.iter().take(2).collect();
        self.net
            .sign(Body::Govern(seq, decision, ReasonCode::Scheduled), &by)
    }

    fn suspend_issuer(&self, seq: u64, id: Hash32) -> SignedOperation {
        self.govern(seq, Decision::IssuerStanding(id, Standing::Suspended))
    }

    fn enrol_in(&self, epoch: u64) -> SignedOperation {
        let enrol = Enrol {
            issuer: self.net.authority.id,
            tag: NOBODY,
            seq: 0,
            commitment: DIGEST,
            epoch,
        };
        self.sign(Body::Enrol(enrol), &self.net.authority.operation)
    }

    fn anchor_with(&self, change: impl FnOnce(&mut Inception)) -> SignedOperation {
        let mut did = other(&self.net, 3);
        change(&mut did.inception);
        self.net.anchor(&did)
    }

    fn key_status(&self, seq: u64, key: &SecretKey, status: KeyStatus) -> SignedOperation {
        let kid = commitment(&key.public());
        self.govern(
            seq,
            Decision::IssuerKeyStatus(self.net.registrar.id, kid, status),
        )
    }

    fn admit(&self, change: impl FnOnce(&mut Issuer)) -> SignedOperation {
        let mut issuer = newcomer();
        change(&mut issuer);
        self.govern(1, Decision::AdmitIssuer(issuer))
    }
}

/// One way to break a rule.
pub(super) struct Way {
    pub what: &'static str,
    pub net: TestNet,
    pub broken: SignedOperation,
}

fn other(net: &TestNet, n: u64) -> TestDid {
    TestDid::new(net.network(), n)
}

fn operation_key(n: u64) -> IssuerKey {
    IssuerKey {
        usage: KeyUse::Operation,
        key: key(n).public(),
        status: KeyStatus::Active,
        since: 0,
    }
}

/// An issuer that the ledger does not know yet, acting by key 500.
pub(super) fn newcomer() -> Issuer {
    Issuer {
        url: "https://second.example".into(),
        keys: vec![operation_key(500)],
        tag_key: Some(TAG_KEY),
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 5,
        sponsor_quota: 5,
        registration_quota: 5,
        pass_keys: Vec::new(),
    }
}

/// The ways to break each rule. The match has no wildcard: a new rule needs its way.
fn ways(rule: Rule) -> Vec<Way> {
    let s = Scene::new;
    match rule {
        Rule::Version => {
            let s = s();
            let mut operation = s.rotation(1).operation;
            operation.version = 2;
            let broken = operation.sign(&[&s.did.next]);
            vec![s.breaks("version 2", broken)]
        }
        Rule::Network => {
            let s = s();
            let body = s.rotate(1, 2);
            let broken = Operation::new("cn".parse().unwrap(), 100, body).sign(&[&s.did.next]);
            vec![s.breaks("made for another network", broken)]
        }
        Rule::Expired => {
            let s = s();
            let (name, height) = (s.net.network().clone(), s.net.now.height);
            let broken = Operation::new(name, height, s.rotate(1, 2)).sign(&[&s.did.next]);
            vec![s.breaks("expired one block ago", broken)]
        }
        Rule::ExpiryTooFar => [10_000 + 2, u64::MAX]
            .map(|ahead| {
                let s = s();
                let expires = s.net.now.height.saturating_add(ahead);
                let name = s.net.network().clone();
                let broken = Operation::new(name, expires, s.rotate(1, 2)).sign(&[&s.did.next]);
                s.breaks("past the window", broken)
            })
            .into(),
        Rule::Signature => {
            let altered = |what, alter: fn(&Scene, &mut SignedOperation)| {
                let s = s();
                let mut broken = s.rotation(1);
                alter(&s, &mut broken);
                s.breaks(what, broken)
            };
            let sponsor = {
                let s = s();
                let mut broken = s.net.anchor(&other(&s.net, 3));
                broken.sponsor = s.net.anchor(&other(&s.net, 4)).sponsor;
                s.breaks("the sponsorship of another operation", broken)
            };
            let charged = {
                let s = s();
                let mut broken = s.net.anchor(&other(&s.net, 3));
                broken.sponsor.as_mut().unwrap().issuer = s.net.registrar.id;
                s.breaks("charged to another issuer than signed", broken)
            };
            vec![
                charged,
                altered("another body than was signed", |s, broken| {
                    broken.operation.body = s.rotate(1, 3);
                }),
                altered("made by another key than the one beside it", |s, broken| {
                    broken.signatures[0].signature =
                        s.sign(s.rotate(1, 2), &key(77)).signatures[0].signature;
                }),
                altered("made for another network", |s, broken| {
                    let operation = broken.operation.clone();
                    let elsewhere =
                        Operation::new("cn".parse().unwrap(), operation.expires, operation.body);
                    broken.signatures = elsewhere.sign(&[&s.did.next]).signatures;
                }),
                altered("one bit flipped", |_, broken| {
                    broken.signatures[0].signature.0[40] ^= 1;
                }),
                sponsor,
            ]
        }
        Rule::Signer => signer_ways(),
        Rule::SignatureCount => {
            let with = |what, by: &dyn Fn(&Scene) -> SignedOperation| {
                let s = s();
                let broken = by(&s);
                s.breaks(what, broken)
            };
            let decision = || Decision::AdmitIssuer(newcomer());
            let govern = move |s: &Scene, by: &[&SecretKey]| {
                s.net
                    .sign(Body::Govern(1, decision(), ReasonCode::None), by)
            };
            let many: Vec<_> = (100..133).map(key).collect();
            vec![
                with("no signature", &|s| s.net.sign(s.rotate(1, 2), &[])),
                with("two where one is needed", &|s| {
                    s.net.sign(s.rotate(1, 2), &[&s.did.next, &s.did.current])
                }),
                with("a decision below the threshold", &|s| {
                    govern(s, &[&s.net.governors[0]])
                }),
                with("a governor counted twice", &|s| {
                    govern(s, &[&s.net.governors[0], &s.net.governors[0]])
                }),
                with("more than 32", &|s| {
                    govern(s, &many.iter().collect::<Vec<_>>())
                }),
            ]
        }
        Rule::Suite => {
            let only = |suite| {
                Scene::on(TestNet::with(|genesis| {
                    genesis.parameters.suites = vec![suite]
                }))
            };
            let bad = |n| key_of(Suite::Sm2, n);
            let (one, two) = (only(Suite::Ed25519), only(Suite::Ed25519));
            let signer = one.sign(Body::Freeze(one.did.id(), 1), &bad(1));
            let anchor = TestDid::of(Suite::P256, two.net.network(), 3);
            let anchor = two.net.anchor(&anchor);
            vec![
                one.breaks("a signer's", signer),
                two.breaks("an inception's", anchor),
            ]
        }
        Rule::Sequence => {
            let mut ways = Vec::new();
            for seq in [0, 2, u64::MAX] {
                let s = s();
                let broken = s.rotation(seq);
                ways.push(s.breaks("a DID's, not the next one", broken));
            }
            let replay = |what, operation: &dyn Fn(&Scene) -> SignedOperation| {
                let s = s();
                let replayed = operation(&s);
                s.after(std::slice::from_ref(&replayed))
                    .breaks(what, replayed)
            };
            ways.extend([
                replay("a rotation again", &|s| s.rotation(1)),
                replay("a freeze again", &|s| s.freeze(1)),
                replay("a recovery again", &|s| s.recovery(1)),
                replay("a deactivation again", &|s| s.deactivate(1, &s.did.next)),
                replay("an enrolment again", &|s| s.net.enrol(TAG, 1)),
                replay("a suspension again", &|s| {
                    s.enrolment_standing(1, Standing::Suspended)
                }),
                replay("a service's suspension again", &|s| {
                    s.service_standing(1, Standing::Suspended)
                }),
                replay("a decision again", &|s| {
                    s.govern(
                        1,
                        Decision::AddIssuerKey(s.net.authority.id, operation_key(600)),
                    )
                }),
            ]);
            ways
        }
        Rule::Shape => {
            let anchor = |what, change: &dyn Fn(&mut Inception)| {
                let s = s();
                let broken = s.anchor_with(change);
                s.breaks(what, broken)
            };
            let admit = |what, change: &dyn Fn(&mut Issuer)| {
                let s = s();
                let broken = s.admit(change);
                s.breaks(what, broken)
            };
            let rotate = {
                let s = s();
                let mut keys = other(&s.net, 2).inception.keys;
                keys.recovery = keys.next;
                let broken = s.sign(Body::Rotate(s.did.id(), 1, keys), &s.did.next);
                s.breaks("one party twice", broken)
            };
            vec![
                anchor("an inception of version 2", &|i| i.version = 2),
                anchor("an inception for another network", &|i| {
                    i.network = "cn".parse().unwrap()
                }),
                anchor("a next key that is a current key", &|i| {
                    i.keys.next = commitment(&i.keys.current[0]);
                }),
                anchor("five keys", &|i| {
                    i.keys.current.extend((200..204).map(|n| key(n).public()));
                }),
                anchor("an endpoint without https", &|i| {
                    i.endpoints = vec!["http://authority.example/x".into()];
                }),
                anchor("an endpoint with a space", &|i| {
                    i.endpoints = vec!["https://authority.example/a name".into()];
                }),
                rotate,
                admit("an issuer without keys", &|i| i.keys.clear()),
                admit("an issuer with a key twice", &|i| {
                    i.keys.push(operation_key(500))
                }),
                admit("an issuer without https", &|i| {
                    i.url = "http://second.example".into()
                }),
                admit("an issuer whose URL ends in a slash", &|i| i.url.push('/')),
                admit("an issuer whose URL holds words", &|i| {
                    i.url.push_str("/Wang Fang")
                }),
                admit("an issuer whose URL is long", &|i| {
                    i.url.push_str(&"a".repeat(200))
                }),
                admit("an issuer that is suspended already", &|i| {
                    i.standing = Standing::Suspended
                }),
                admit("an issuer with a history that nobody saw", &|i| {
                    i.keys[0].status = KeyStatus::Retired(0);
                }),
            ]
        }
        Rule::Sponsor => {
            let s = s();
            let did = other(&s.net, 3);
            let broken = s.sign(Body::Anchor(did.inception.clone()), &did.current);
            vec![s.breaks("an anchor that nobody answers for", broken)]
        }
        Rule::Quota => quota_ways(),
        Rule::UnneededSponsor => {
            let s = s();
            let (id, by) = (s.net.authority.id, s.net.authority.operation.clone());
            let broken = s.rotation(1).sponsored(id, &by);
            let (b, c) = (Scene::new(), Scene::new());
            let person = TestPerson::new(&b.net, 1);
            let anchor = person.anchor(&b.net, &other(&b.net, 3), 0);
            let twice = anchor.clone().sponsored(id, &by);
            let mut rotation = c.rotation(1);
            rotation.personhood = anchor.personhood;
            vec![
                s.breaks("a sponsored rotation", broken),
                b.breaks("an anchor that is paid for twice", twice),
                c.breaks("a rotation with a personhood proof", rotation),
            ]
        }
        Rule::DidUnknown => {
            let s = s();
            let did = other(&s.net, 3);
            let to = other(&s.net, 4).inception.keys;
            let broken = s.sign(Body::Rotate(did.id(), 1, to), &did.next);
            vec![s.breaks("a DID that was never anchored", broken)]
        }
        Rule::DidExists => {
            let s = s();
            let broken = s.net.anchor(&s.did);
            vec![s.breaks("an anchor again", broken)]
        }
        Rule::DidDeactivated => {
            let ended = || {
                let s = s();
                let end = s.deactivate(1, &s.did.next);
                s.after(&[end])
            };
            let (a, b, c) = (ended(), ended(), ended());
            let (x, y, z) = (a.rotation(2), b.recovery(2), c.freeze(2));
            vec![
                a.breaks("a rotation", x),
                b.breaks("a recovery", y),
                c.breaks("a freeze", z),
            ]
        }
        Rule::DidFrozen => {
            let frozen = || {
                let s = s();
                let steps = [s.recovery(1), s.freeze(2)];
                s.after(&steps)
            };
            let (a, b) = (frozen(), frozen());
            let (x, y) = (a.cancel(3), b.deactivate(3, &b.did.current));
            vec![
                a.breaks("the current key cancels", x),
                b.breaks("it deactivates", y),
            ]
        }
        Rule::DidNotRecovering => {
            let s = s();
            let broken = s.cancel(1);
            vec![s.breaks("nothing to cancel", broken)]
        }
        Rule::DidDisputed => {
            let s = s();
            let recovery = s.recovery(1);
            let s = s.after(&[recovery]);
            let broken = s.deactivate(2, &s.did.current);
            vec![s.breaks("the current key ends a DID that is being recovered", broken)]
        }
        Rule::DidReuse => {
            let rotate =
                |what, current: fn(&TestDid) -> SecretKey, next: fn(&TestDid) -> SecretKey| {
                    let s = s();
                    let to = keys(&current(&s.did), &next(&s.did), &key(702));
                    let broken = s.sign(Body::Rotate(s.did.id(), 1, to), &s.did.next);
                    s.breaks(what, broken)
                };
            let recover = |what, current: fn(&TestDid) -> SecretKey| {
                let s = s();
                let to = keys(&current(&s.did), &key(701), &key(702));
                let broken = s.sign(Body::Recover(s.did.id(), 1, to), &s.did.recovery);
                s.breaks(what, broken)
            };
            vec![
                rotate(
                    "to the old current key",
                    |d| d.current.clone(),
                    |_| key(701),
                ),
                rotate("to the key just shown", |d| d.next.clone(), |_| key(701)),
                rotate("with the same next key", |_| key(700), |d| d.next.clone()),
                recover("to the old current key", |d| d.current.clone()),
                recover("to the key just shown", |d| d.recovery.clone()),
            ]
        }
        Rule::Endpoint => [
            "https://elsewhere.example/a",
            "https://authority.example.elsewhere.example/a",
            "https://authority.example",
            "https://authority.example@elsewhere.example/a",
        ]
        .map(|url| {
            let s = s();
            let broken = s.anchor_with(|i| i.endpoints = vec![url.into()]);
            s.breaks(url, broken)
        })
        .into(),
        Rule::DidAlreadyFrozen => {
            let s = s();
            let freeze = s.freeze(1);
            let s = s.after(&[freeze]);
            let broken = s.freeze(2);
            vec![s.breaks("a second freeze", broken)]
        }
        Rule::IssuerUnknown => {
            let (a, b, c) = (s(), s(), s());
            let x = {
                let body = Body::Register(NOBODY, DIGEST, DIGEST);
                a.sign(body, &a.net.registrar.operation)
            };
            let y = {
                let did = other(&b.net, 3);
                let anchor = b.sign(Body::Anchor(did.inception.clone()), &did.current);
                anchor.sponsored(NOBODY, &b.net.authority.operation)
            };
            let z = c.suspend_issuer(1, NOBODY);
            vec![
                a.breaks("a registration by nobody", x),
                b.breaks("a sponsorship by nobody", y),
                c.breaks("a decision about nobody", z),
            ]
        }
        Rule::IssuerSuspended => {
            let suspended = |issuer: fn(&Scene) -> Hash32| {
                let s = s();
                let suspension = s.suspend_issuer(1, issuer(&s));
                s.after(&[suspension])
            };
            let authority = |s: &Scene| s.net.authority.id;
            let registrar = |s: &Scene| s.net.registrar.id;
            let (a, b, c, d) = (
                suspended(authority),
                suspended(authority),
                suspended(registrar),
                suspended(registrar),
            );
            let v = a.net.enrol(NOBODY, 0);
            let w = b.net.anchor(&other(&b.net, 3));
            let x = c.net.register(NOBODY, DIGEST);
            let y = d.service_standing(1, Standing::Suspended);
            vec![
                a.breaks("it enrols", v),
                b.breaks("it sponsors", w),
                c.breaks("it registers", x),
                d.breaks("it suspends", y),
            ]
        }
        Rule::IssuerStanding => {
            let scene = s();
            let id = scene.net.authority.id;
            let restored = scene.govern(1, Decision::IssuerStanding(id, Standing::Active));
            let suspension = scene.suspend_issuer(1, id);
            let suspended = scene.after(&[suspension]);
            let again = suspended.suspend_issuer(2, id);
            vec![
                s().breaks("an active issuer is restored", restored),
                suspended.breaks("it is suspended again", again),
            ]
        }
        Rule::IssuerExists => {
            let s = s();
            let broken = s.admit(|issuer| issuer.url = REGISTRAR.into());
            vec![s.breaks("an issuer that is there", broken)]
        }
        Rule::IssuerKey => issuer_key_ways(),
        Rule::PassTotal => {
            let total = |what, said: &[u64], epoch: &dyn Fn(&Scene) -> u64, total| {
                let s = s();
                let by = s.net.authority.operation.clone();
                let say = |n| s.sign(Body::PassTotal(s.net.authority.id, epoch(&s), n), &by);
                let (before, broken) =
                    (said.iter().map(|n| say(*n)).collect::<Vec<_>>(), say(total));
                s.after(&before).breaks(what, broken)
            };
            vec![
                total("of an epoch to come", &[], &|s| s.net.epoch() + 1, 5),
                total("nothing", &[], &|s| s.net.epoch(), 0),
                total("less than before", &[7], &|s| s.net.epoch(), 6),
                total("the same again", &[7], &|s| s.net.epoch(), 7),
            ]
        }
        Rule::Personhood => {
            let changed = |what, change: &dyn Fn(&Scene, &mut SignedOperation)| {
                let s = s();
                let mut broken = TestPerson::new(&s.net, 1).anchor(&s.net, &other(&s.net, 3), 0);
                change(&s, &mut broken);
                s.breaks(what, broken)
            };
            let presentation = |broken: &mut SignedOperation, alter: &dyn Fn(&mut Vec<u8>)| {
                alter(&mut broken.personhood.as_mut().unwrap().presentation.0);
            };
            let period = |s: &Scene| {
                let time_ms = s.net.now.time_ms;
                s.net.genesis.parameters.personhood_period_at(time_ms)
            };
            let show = |s: &Scene, shown: &[usize]| {
                TestPerson::new(&s.net, 1).anchor_showing(
                    &s.net,
                    &other(&s.net, 3),
                    (period(s), 0),
                    shown,
                )
            };
            vec![
                changed("of another anchor", &|s, broken| {
                    let person = TestPerson::new(&s.net, 1);
                    broken.personhood = person.anchor(&s.net, &other(&s.net, 4), 0).personhood;
                }),
                changed("said to be of another slot", &|_, broken| {
                    broken.personhood.as_mut().unwrap().slot = 1;
                }),
                changed("a response changed", &|_, broken| {
                    presentation(broken, &|bytes| *bytes.last_mut().unwrap() ^= 1);
                }),
                changed("cut short", &|_, broken| {
                    presentation(broken, &|bytes| bytes.truncate(100));
                }),
                changed("nothing", &|_, broken| presentation(broken, &Vec::clear)),
                changed("another person's pseudonym", &|s, broken| {
                    let person = TestPerson::new(&s.net, 2);
                    let theirs = person.anchor(&s.net, &other(&s.net, 3), 0);
                    let theirs = theirs.personhood.unwrap().presentation.0;
                    // Version, mask, the epoch with its length; then the pseudonym.
                    presentation(broken, &|bytes| {
                        bytes[12..60].copy_from_slice(&theirs[12..60]);
                    });
                }),
                changed("shows more than its epoch", &|s, broken| {
                    *broken = show(s, &[0, 1]);
                }),
                changed("does not show its epoch", &|s, broken| {
                    *broken = show(s, &[4])
                }),
            ]
        }
        Rule::Slot => {
            let of = |what, change: &dyn Fn(u64) -> (u64, u64)| {
                let s = s();
                let parameters = &s.net.genesis.parameters;
                let period = parameters.personhood_period_at(s.net.now.time_ms);
                let broken = TestPerson::new(&s.net, 1).anchor_showing(
                    &s.net,
                    &other(&s.net, 3),
                    change(period),
                    &[0],
                );
                s.breaks(what, broken)
            };
            vec![
                of("one more than the network has", &|period| (period, 4)),
                of("far beyond", &|period| (period, u64::MAX)),
                of("of the period before", &|period| (period - 1, 0)),
                of("of the next period", &|period| (period + 1, 0)),
            ]
        }
        Rule::SlotSpent => {
            let s = s();
            let person = TestPerson::new(&s.net, 1);
            let first = person.anchor(&s.net, &other(&s.net, 3), 0);
            let second = person.anchor(&s.net, &other(&s.net, 4), 0);
            vec![
                s.after(&[first])
                    .breaks("another DID for the same slot", second),
            ]
        }
        Rule::PassEpoch => {
            let of = |what, epoch: &dyn Fn(&Scene) -> u64| {
                let s = s();
                let person = TestPerson::in_epoch(epoch(&s), 1);
                let broken = person.anchor(&s.net, &other(&s.net, 3), 0);
                s.breaks(what, broken)
            };
            vec![
                of("of an epoch to come", &|s| s.net.epoch() + 1),
                // The one before stands for some seconds more, for clocks that differ.
                of("expired", &|s| s.net.epoch() - 2),
                of("of the first epoch", &|_| 0),
            ]
        }
        Rule::ServiceSuspended
        | Rule::DisplayUnknown
        | Rule::DisplayExists
        | Rule::DisplayWithdrawn
        | Rule::BatchExists
        | Rule::Parameters
        | Rule::Governors => super::public::ways(rule),
        Rule::RecognitionUnknown
        | Rule::RecognitionExists
        | Rule::RecognitionStanding
        | Rule::RecognitionCheckpoint
        | Rule::RecognitionBehind
        | Rule::RecognitionHandOver
        | Rule::RecognitionNoFork => super::abroad::ways(rule),
        Rule::TermNumber | Rule::TermNotice | Rule::TermShape | Rule::TermKey => {
            super::terms::ways(rule)
        }
        Rule::EnrolmentUnknown => {
            let s = s();
            let (id, reason) = (s.net.authority.id, ReasonCode::Deceased);
            let body = Body::EnrolmentStanding(id, NOBODY, 1, Standing::Ended, reason);
            let broken = s.sign(body, &s.net.authority.operation);
            let reset = s.sign(Body::ResetPass(id, NOBODY, 1), &s.net.authority.operation);
            vec![
                s.breaks("nobody's tag", broken),
                Scene::new().breaks("a reset of nobody's tag", reset),
            ]
        }
        Rule::EnrolmentStanding => {
            let (a, b, c, d) = (s(), s(), s(), s());
            let reset = d.reset(2);
            let same = a.enrolment_standing(1, Standing::Active);
            let end = b.enrolment_standing(1, Standing::Ended);
            let back = b.enrolment_standing(2, Standing::Active);
            let suspend = c.enrolment_standing(1, Standing::Suspended);
            let again = c.net.enrol(TAG, 2);
            vec![
                a.breaks("active already", same),
                b.after(&[end]).breaks("ended for good", back),
                c.after(std::slice::from_ref(&suspend))
                    .breaks("enrolled anew while suspended", again),
                d.after(&[suspend]).breaks("reset while suspended", reset),
            ]
        }
        Rule::EnrolmentEpoch => {
            let (a, b) = (s(), s());
            let early = a.enrol_in(a.net.epoch() + 1);
            let late = b.enrol_in(b.net.epoch() - 2);
            vec![
                a.breaks("the next epoch", early),
                b.breaks("two epochs ago", late),
            ]
        }
        Rule::EnrolmentReset => {
            let (a, b, c, d) = (s(), s(), s(), s());
            let delay_ms = d.net.genesis.parameters.recovery_delay_s * 1000;
            let again = a.reset(2);
            let soon = b.reset(3);
            let nothing = c.cancel_reset(1);
            let late = d.cancel_reset(2);
            let first = [a.reset(1)];
            let mut b = b.after(&first);
            b.net.wait_ms(delay_ms);
            let enrolled = [b.net.enrol(TAG, 2)];
            let mut d = d.after(&first);
            d.net.wait_ms(delay_ms);
            vec![
                a.after(&first).breaks("while one is pending", again),
                b.after(&enrolled)
                    .breaks("twice in a period, enrolled anew between", soon),
                c.breaks("taken back where none is pending", nothing),
                d.breaks("taken back after it took effect", late),
            ]
        }
        Rule::ServiceUnknown => {
            let s = s();
            let (id, reason) = (s.net.registrar.id, ReasonCode::TermsBroken);
            let body = Body::ServiceStanding(id, NOBODY, 1, Standing::Ended, reason);
            let broken = s.sign(body, &s.net.registrar.operation);
            vec![s.breaks("nobody's service", broken)]
        }
        Rule::ServiceExists => {
            let s = s();
            let broken = s.net.register(SERVICE, NOBODY);
            vec![s.breaks("a service id that is taken", broken)]
        }
        Rule::ServiceStanding => {
            let (a, b) = (s(), s());
            let same = a.service_standing(1, Standing::Active);
            let end = b.service_standing(1, Standing::Ended);
            let back = b.service_standing(2, Standing::Active);
            vec![
                a.breaks("active already", same),
                b.after(&[end]).breaks("ended for good", back),
            ]
        }
    }
}

fn signer_ways() -> Vec<Way> {
    let did = |what, body: fn(&Scene) -> Body, by: fn(&Scene) -> SecretKey| {
        let s = Scene::new();
        let broken = s.sign(body(&s), &by(&s));
        s.breaks(what, broken)
    };
    let current = |s: &Scene| s.did.current.clone();
    let next = |s: &Scene| s.did.next.clone();
    let recovery = |s: &Scene| s.did.recovery.clone();
    let stranger = |_: &Scene| key(77);
    let freeze = |s: &Scene| Body::Freeze(s.did.id(), 1);
    let issuer = |what, broken: fn(&Scene) -> SignedOperation| {
        let s = Scene::new();
        let broken = broken(&s);
        s.breaks(what, broken)
    };
    // A second authority that reaches for what the first one has made.
    let foreign = {
        let s = Scene::new();
        let admit = s.admit(|_| {});
        let s = s.after(&[admit]);
        let id = issuer_id(BY, &newcomer().url);
        let body = Body::EnrolmentStanding(id, TAG, 1, Standing::Ended, ReasonCode::None);
        let broken = s.sign(body, &key(500));
        s.breaks("another issuer ends an enrolment", broken)
    };
    let moved = {
        let s = Scene::new();
        let admit = s.admit(|_| {});
        let s = s.after(&[admit]);
        let mut enrol = match s.net.enrol(TAG, 1).operation.body {
            Body::Enrol(enrol) => enrol,
            _ => unreachable!(),
        };
        enrol.issuer = issuer_id(BY, &newcomer().url);
        let broken = s.sign(Body::Enrol(enrol), &key(500));
        s.breaks("another issuer moves an enrolment", broken)
    };
    let retired = {
        let s = Scene::new();
        let by = s.net.registrar.operation.clone();
        let add = s.govern(
            1,
            Decision::AddIssuerKey(s.net.registrar.id, operation_key(600)),
        );
        let retire = s.key_status(2, &by, KeyStatus::Retired(3));
        let s = s.after(&[add, retire]);
        let broken = s.net.register(NOBODY, DIGEST);
        s.breaks("a retired key", broken)
    };
    vec![
        did("the current key rotates", |s| s.rotate(1, 2), current),
        did("the recovery key rotates", |s| s.rotate(1, 2), recovery),
        did("a stranger rotates", |s| s.rotate(1, 2), stranger),
        did("the current key recovers", |s| s.recover(1, 2), current),
        did("the next key recovers", |s| s.recover(1, 2), next),
        did("the current key freezes", freeze, current),
        did("the next key freezes", freeze, next),
        did(
            "the recovery key cancels",
            |s| Body::Cancel(s.did.id(), 1),
            recovery,
        ),
        did(
            "the recovery key deactivates",
            |s| Body::Deactivate(s.did.id(), 1),
            recovery,
        ),
        issuer("a stranger anchors", |s| {
            let did = other(&s.net, 3);
            s.sign(Body::Anchor(did.inception), &key(77))
                .sponsored(s.net.authority.id, &s.net.authority.operation)
        }),
        issuer("a stranger sponsors", |s| {
            let did = other(&s.net, 3);
            s.sign(Body::Anchor(did.inception.clone()), &did.current)
                .sponsored(s.net.authority.id, &key(77))
        }),
        issuer("another issuer's key registers", |s| {
            s.sign(
                Body::Register(s.net.registrar.id, NOBODY, DIGEST),
                &s.net.authority.operation,
            )
        }),
        issuer("a key for documents signs an operation", |s| {
            s.sign(
                Body::Register(s.net.registrar.id, NOBODY, DIGEST),
                &s.net.registrar.document,
            )
        }),
        issuer("a stranger among the governors", |s| {
            let decision = Decision::AdmitIssuer(newcomer());
            let body = Body::Govern(1, decision, ReasonCode::None);
            s.net
                .sign(body, &[&s.net.governors[0], &s.net.governors[1], &key(77)])
        }),
        foreign,
        moved,
        retired,
    ]
}

fn quota_ways() -> Vec<Way> {
    let small = |quota: u64| {
        TestNet::with(|genesis| {
            genesis.issuers[0].enrolment_quota = quota;
            genesis.issuers[0].sponsor_quota = quota;
            genesis.issuers[1].registration_quota = quota;
        })
    };
    let spent = |what, next: fn(&TestNet) -> SignedOperation| {
        let s = Scene::on(small(1));
        let broken = next(&s.net);
        s.breaks(what, broken)
    };
    let none = |what, first: fn(&TestNet) -> SignedOperation| {
        let net = small(0);
        let broken = first(&net);
        Way { what, net, broken }
    };
    vec![
        spent("a second enrolment", |net| net.enrol(NOBODY, 0)),
        spent("a second enrolment under one tag", |net| net.enrol(TAG, 1)),
        spent("a second sponsored anchor", |net| {
            net.anchor(&other(net, 3))
        }),
        spent("a second registration", |net| net.register(NOBODY, DIGEST)),
        none("an enrolment without quota", |net| net.enrol(TAG, 0)),
        none("an anchor without quota", |net| net.anchor(&other(net, 3))),
        none("a registration without quota", |net| {
            net.register(NOBODY, DIGEST)
        }),
    ]
}

fn issuer_key_ways() -> Vec<Way> {
    let decided = |what, before: &[KeyStatus], then: KeyStatus| {
        let mut s = Scene::new();
        let by = s.net.registrar.document.clone();
        for (i, status) in before.iter().enumerate() {
            let step = s.key_status(i as u64 + 1, &by, *status);
            s = s.after(&[step]);
        }
        let broken = s.key_status(before.len() as u64 + 1, &by, then);
        s.breaks(what, broken)
    };
    let add = |what, change: fn(&mut IssuerKey)| {
        let s = Scene::new();
        let mut key = operation_key(600);
        change(&mut key);
        let broken = s.govern(1, Decision::AddIssuerKey(s.net.registrar.id, key));
        s.breaks(what, broken)
    };
    let no_tags = {
        let s = Scene::new();
        let mut enrol = match s.net.enrol(NOBODY, 0).operation.body {
            Body::Enrol(enrol) => enrol,
            _ => unreachable!(),
        };
        enrol.issuer = s.net.registrar.id;
        let broken = s.sign(Body::Enrol(enrol), &s.net.registrar.operation);
        s.breaks("an issuer without a tag key enrols", broken)
    };
    let no_registrar = {
        let s = Scene::new();
        let body = Body::Register(s.net.authority.id, NOBODY, DIGEST);
        let broken = s.sign(body, &s.net.authority.operation);
        s.breaks("an issuer without a registration key registers", broken)
    };
    let retired_registrar = {
        let s = Scene::new();
        let retire = s.key_status(1, &s.net.registrar.document, KeyStatus::Retired(3));
        let s = s.after(&[retire]);
        let broken = s.net.register(NOBODY, DIGEST);
        s.breaks("a registration without an active registration key", broken)
    };
    let unknown = {
        let s = Scene::new();
        let broken = s.key_status(1, &key(77), KeyStatus::Retired(1));
        s.breaks("a key that it does not have", broken)
    };
    let full = {
        let mut s = Scene::new();
        for n in 0..62 {
            let add = s.govern(
                n + 1,
                Decision::AddIssuerKey(s.net.registrar.id, operation_key(600 + n)),
            );
            s = s.after(&[add]);
        }
        let broken = s.govern(
            63,
            Decision::AddIssuerKey(s.net.registrar.id, operation_key(700)),
        );
        s.breaks("a 65th key", broken)
    };
    vec![
        no_tags,
        no_registrar,
        retired_registrar,
        unknown,
        full,
        add("a key that it has", |key| {
            key.key = key_of(realdid_core::suite::Suite::P256, 201).public();
        }),
        add("a key that is retired already", |key| {
            key.status = KeyStatus::Retired(0)
        }),
        decided(
            "a key that retires tomorrow",
            &[],
            KeyStatus::Retired(1_000),
        ),
        decided("a key is made active", &[], KeyStatus::Active),
        decided(
            "a retired key is made active",
            &[KeyStatus::Retired(2)],
            KeyStatus::Active,
        ),
        decided(
            "a key retires twice",
            &[KeyStatus::Retired(2)],
            KeyStatus::Retired(3),
        ),
        decided(
            "a compromised key is retired",
            &[KeyStatus::Compromised(2)],
            KeyStatus::Retired(2),
        ),
    ]
}

const BY: HashFunction = HashFunction::Sha256;

#[test]
fn every_rule_has_a_way_to_break_it_and_a_refusal_changes_nothing() {
    for rule in Rule::ALL {
        let ways = ways(*rule);
        assert!(!ways.is_empty(), "{rule} has no case");
        for Way {
            what,
            mut net,
            broken,
        } in ways
        {
            let before = net.state();
            assert_eq!(net.apply(&broken), Err(*rule), "{rule}: {what}");
            assert_eq!(net.state(), before, "{rule}: {what} left a trace");
        }
    }
}

#[test]
fn a_refusal_in_a_block_neither_stops_nor_colours_what_follows() {
    let mut s = Scene::new();
    let did = other(&s.net, 3);
    let good = s.net.anchor(&did);
    let bad = s.rotation(9);
    let junk = realdid_core::codec::Bytes(b"no operation".to_vec());
    let bytes = |signed: &SignedOperation| realdid_core::codec::Bytes(signed.encode());
    let receipts = s
        .net
        .block(&[junk, bytes(&bad), bytes(&good), bytes(&good)]);
    let refused: Vec<_> = receipts.iter().map(|receipt| receipt.refused).collect();
    assert_eq!(
        refused,
        [
            Some(Rule::Shape),
            Some(Rule::Sequence),
            None,
            Some(Rule::DidExists)
        ]
    );
    assert_eq!(receipts[2].operation, good.id());
}

#[test]
fn admissible_needs_no_state() {
    let s = Scene::new();
    // What the mempool can refuse by itself, it refuses by the same rule as the block.
    for rule in [
        Rule::Version,
        Rule::Network,
        Rule::ExpiryTooFar,
        Rule::Signature,
        Rule::Sponsor,
        Rule::UnneededSponsor,
    ] {
        for way in ways(rule) {
            assert_eq!(
                way.net.admissible(&way.broken),
                Err(rule),
                "{rule}: {}",
                way.what
            );
        }
    }
    assert_eq!(
        s.net.admissible(&s.rotation(7)),
        Ok(()),
        "the sequence is the state's to judge"
    );
}

#[test]
fn many_are_admissible_as_each_is() {
    let s = Scene::new();
    let good = (1..4).map(|seq| s.rotation(seq));
    let broken = Rule::ALL
        .iter()
        .copied()
        .flat_map(ways)
        .map(|way| way.broken);
    let all: Vec<_> = good.chain(broken).chain([s.net.enrol(TAG, 3)]).collect();
    let all: Vec<_> = all.iter().collect();
    let each: Vec<_> = all.iter().map(|signed| s.net.admissible(signed)).collect();
    assert!(each.contains(&Ok(())) && each.contains(&Err(Rule::Signature)));
    assert_eq!(s.net.admissible_each(&all), each);
}

#[test]
fn each_kind_of_operation_is_accepted_from_whom_it_is_for() {
    let s = Scene::new();
    let steps = [
        s.recovery(1),
        s.cancel(2),
        s.freeze(3),
        s.rotation(4),
        s.enrolment_standing(1, Standing::Suspended),
        s.enrolment_standing(2, Standing::Active),
        s.net.enrol(TAG, 3),
        s.enrolment_standing(4, Standing::Ended),
        s.service_standing(1, Standing::Suspended),
        s.service_standing(2, Standing::Active),
        s.govern(1, Decision::AdmitIssuer(newcomer())),
        s.suspend_issuer(2, issuer_id(BY, &newcomer().url)),
    ];
    let s = s.after(&steps);
    let did: DidRecord = s.net.record(&did_key(BY, &s.did.id())).unwrap();
    assert_eq!((did.seq, did.frozen, did.pending), (4, false, None));
    assert_eq!(did.keys, other(&s.net, 2).inception.keys);
    let enrolment: Enrolment = s.net.record(&enrolment_key(BY, &TAG)).unwrap();
    assert_eq!((enrolment.seq, enrolment.standing), (4, Standing::Ended));
    let service: Service = s.net.record(&service_key(BY, &SERVICE)).unwrap();
    assert_eq!(
        (service.seq, service.standing, service.digest),
        (2, Standing::Active, DIGEST)
    );
    let governance: Governance = s.net.record(&governance_key(BY)).unwrap();
    assert_eq!(governance.seq, 2);
}

#[test]
fn an_organisation_anchors_with_endpoints_under_its_sponsor() {
    let s = Scene::new();
    let url = "https://authority.example/did";
    let anchor = s.anchor_with(|i| i.endpoints = vec![url.into()]);
    let Body::Anchor(inception) = &anchor.operation.body else {
        unreachable!()
    };
    let id = inception.id();
    let s = s.after(&[anchor]);
    let record: DidRecord = s.net.record(&did_key(BY, &id)).unwrap();
    assert_eq!(record.endpoints, [url]);
}

#[test]
fn p6_each_enrolment_moves_the_tag_and_the_totals() {
    let mut net = TestNet::new();
    for seq in 0..3 {
        net.apply(&net.enrol(TAG, seq)).unwrap();
        let entry: Enrolment = net.record(&enrolment_key(BY, &TAG)).unwrap();
        assert_eq!(entry.seq, seq);
        let totals: Totals = net
            .record(&totals_key(BY, &net.authority.id, net.epoch()))
            .unwrap();
        assert_eq!(totals.enrolments, seq + 1);
    }
    // Another epoch counts anew; what was counted stays for anyone to compare.
    let before = net.epoch();
    net.wait_ms(60_000);
    net.apply(&net.enrol(TAG, 3)).unwrap();
    let totals = |net: &TestNet, epoch| -> Totals {
        net.record(&totals_key(BY, &net.authority.id, epoch))
            .unwrap()
    };
    assert_eq!(totals(&net, before).enrolments, 3);
    assert_eq!(totals(&net, net.epoch()).enrolments, 1);
}

#[test]
fn p5_a_reset_is_public_delayed_and_once_in_a_period() {
    let mut s = Scene::new();
    let parameters = s.net.genesis.parameters.clone();
    let (delay_ms, period_ms) = (
        parameters.recovery_delay_s * 1000,
        parameters.personhood_period_s * 1000,
    );
    let entry = |s: &Scene| -> Enrolment { s.net.record(&enrolment_key(BY, &TAG)).unwrap() };
    assert_eq!(s.net.apply(&s.reset(1)), Ok(()));
    let announced = entry(&s);
    let at_ms = announced.reset_ms.unwrap();
    assert_eq!((announced.seq, at_ms), (1, s.net.now.time_ms));
    assert!(announced.reset_pending(&parameters, at_ms + delay_ms - 1));
    assert!(announced.reset_effective(&parameters, at_ms + delay_ms));

    // The person objects in time: the number has moved twice, and nothing is reset.
    assert_eq!(s.net.apply(&s.cancel_reset(2)), Ok(()));
    assert_eq!((entry(&s).seq, entry(&s).reset_ms), (2, None));

    assert_eq!(s.net.apply(&s.reset(3)), Ok(()));
    let at_ms = s.net.now.time_ms;
    s.net.wait_ms(delay_ms);
    // Neither enrolling anew nor a suspension forgets it.
    assert_eq!(s.net.apply(&s.net.enrol(TAG, 4)), Ok(()));
    let steps = [
        s.enrolment_standing(5, Standing::Suspended),
        s.enrolment_standing(6, Standing::Active),
    ];
    let mut s = s.after(&steps);
    assert_eq!(entry(&s).reset_ms, Some(at_ms));
    assert!(entry(&s).reset_recently(&parameters, at_ms + period_ms - 1));
    assert_eq!(s.net.apply(&s.reset(7)), Err(Rule::EnrolmentReset));
    s.net.wait_ms(period_ms);
    assert_eq!(s.net.apply(&s.reset(7)), Ok(()));
}

#[test]
fn p7_key_history_stays_with_heights_and_is_never_undone() {
    let s = Scene::new();
    let old = s.net.registrar.document.clone();
    let new = IssuerKey {
        usage: KeyUse::Registration,
        // Whatever the decision says, the ledger writes the height at which it saw the key.
        since: 999,
        ..operation_key(600)
    };
    let steps = [
        s.govern(1, Decision::AddIssuerKey(s.net.registrar.id, new)),
        s.key_status(2, &old, KeyStatus::Retired(5)),
        s.key_status(3, &old, KeyStatus::Compromised(4)),
    ];
    let added = s.net.now.height + 1;
    let s = s.after(&steps);
    let issuer: Issuer = s.net.record(&issuer_key(BY, &s.net.registrar.id)).unwrap();
    let kid = commitment(&old.public());
    let status = issuer.key(KeyUse::Registration, &kid).map(|key| key.status);
    assert_eq!(
        status,
        Some(KeyStatus::Compromised(4)),
        "the old key is still there to verify by"
    );
    let kid = commitment(&key(600).public());
    let since = issuer.key(KeyUse::Registration, &kid).map(|key| key.since);
    assert_eq!(since, Some(added));
}

#[test]
fn p7_an_issuer_is_admitted_with_the_height_of_its_admission() {
    let s = Scene::new();
    let admit = s.admit(|issuer| issuer.keys[0].since = 12_345);
    let admitted = s.net.now.height + 1;
    let s = s.after(&[admit]);
    let issuer: Issuer = s
        .net
        .record(&issuer_key(BY, &issuer_id(BY, &newcomer().url)))
        .unwrap();
    assert_eq!(issuer.keys[0].since, admitted);
}

#[test]
fn p8_a_recovery_takes_effect_after_the_delay_without_another_operation() {
    let s = Scene::new();
    let steps = [s.freeze(1), s.recovery(2)];
    let mut s = s.after(&steps);
    let delay_ms = s.net.genesis.parameters.recovery_delay_s * 1000;
    let record: DidRecord = s.net.record(&did_key(BY, &s.did.id())).unwrap();
    let asked_ms = s.net.now.time_ms;
    let before = record.at(asked_ms + delay_ms - 1);
    assert!(before.frozen && before.keys == s.did.inception.keys);
    let after = record.at(asked_ms + delay_ms);
    assert!(!after.frozen && after.pending.is_none());
    assert_eq!(after.keys, other(&s.net, 2).inception.keys);
    // The new keys act at once; the old ones are nobody's.
    s.net.wait_ms(delay_ms);
    let old = s.net.apply(&s.sign(s.rotate(3, 4), &s.did.next));
    assert_eq!(old, Err(Rule::Signer));
    let new = other(&s.net, 2).next;
    assert_eq!(s.net.apply(&s.sign(s.rotate(3, 4), &new)), Ok(()));
}

#[test]
fn quotas_count_per_epoch() {
    let mut net = TestNet::with(|genesis| genesis.issuers[0].sponsor_quota = 1);
    let [a, b] = [3, 4].map(|n| other(&net, n));
    net.apply(&net.anchor(&a)).unwrap();
    assert_eq!(net.apply(&net.anchor(&b)), Err(Rule::Quota));
    net.wait_ms(60_000);
    assert_eq!(net.apply(&net.anchor(&b)), Ok(()));
}
