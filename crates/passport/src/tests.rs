//! Passive authentication over invented states: what passes, and each way to be refused.

use super::*;
use crate::specimen::{Contents, Extension, Facts, HashBy, KeyKind, Signer, Signing, State};
use rcgen::KeyUsagePurpose;

/// 2027-01-15
const NOW_S: u64 = 1_800_000_000;
const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 365 * DAY_S;

const FACTS: Facts<'static> = Facts {
    state: "QNA",
    family_name: "VANDERQUISTOVA",
    given_name: "ILSABET MARU",
    number: "Q1234567",
    nationality: "QNA",
    birth: "880229",
    sex: 'F',
    expiry: "310302",
    personal: "",
};

fn state(country: &str) -> State {
    let (from_s, until_s) = (NOW_S - 5 * YEAR_S, NOW_S + 15 * YEAR_S);
    State::new(
        country,
        "Country Signing CA",
        KeyKind::P384,
        from_s,
        until_s,
    )
    .unwrap()
}

const SIGNING: Signing<'static> = Signing {
    country: "QN",
    kind: KeyKind::P256,
    serial: 7,
    from_s: NOW_S - YEAR_S,
    until_s: NOW_S + 10 * YEAR_S,
    usages: &[KeyUsagePurpose::DigitalSignature],
    is_authority: false,
};

/// A state, its passport, and whom the verifier believes.
struct Case {
    state: State,
    object: Vec<u8>,
    groups: Vec<(u8, Vec<u8>)>,
    master_list: Vec<String>,
    revocation_lists: Vec<String>,
}

fn contents(groups: &[(u8, Vec<u8>)]) -> Contents<'_> {
    Contents {
        hash: HashBy::SHA_256,
        groups,
        signed_s: Some(NOW_S - 100 * DAY_S),
        pss: false,
    }
}

fn groups_of(facts: &Facts<'_>) -> Vec<(u8, Vec<u8>)> {
    vec![(1, facts.group().unwrap()), (2, vec![0x75, 3, 1, 2, 3])]
}

impl Case {
    fn new() -> Self {
        Self::signed(&SIGNING)
    }

    fn signed(signing: &Signing<'_>) -> Self {
        let state = state("QN");
        let signer = state.signer(signing).unwrap();
        Self::of(state, &signer, &groups_of(&FACTS))
    }

    fn of(state: State, signer: &Signer, groups: &[(u8, Vec<u8>)]) -> Self {
        let list = state.revocation_list(&[99], NOW_S - DAY_S, NOW_S + 30 * DAY_S);
        Self {
            object: signer.security_object(&contents(groups)).unwrap(),
            groups: groups.to_vec(),
            master_list: vec![state.certificate_pem.clone()],
            revocation_lists: vec![list.unwrap()],
            state,
        }
    }

    fn lists(&self) -> Lists {
        Lists::read(&self.master_list, &self.revocation_lists)
            .unwrap()
            .0
    }

    fn judge(&self) -> Result<Holder, Refused> {
        self.judge_at(NOW_S)
    }

    fn judge_at(&self, now_s: u64) -> Result<Holder, Refused> {
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|(n, bytes)| (*n, bytes.as_slice()))
            .collect();
        let chip = Chip {
            security_object: &self.object,
            groups: &groups,
        };
        verify(&chip, &self.lists(), now_s)
    }

    #[track_caller]
    fn refused(&self) -> Refused {
        self.judge().err().unwrap()
    }
}

#[test]
fn a_passport_as_its_state_made_it_is_taken() {
    let holder = Case::new().judge().ok().unwrap();
    assert_eq!(holder.birthdate, "1988-02-29");
    assert_eq!(holder.zone.country, "QN");
    assert_eq!(holder.zone.given_name, "ILSABET MARU");
    assert_eq!(holder.zone.personal_number, None);
    let mut first_alone = Case::new();
    first_alone.groups.truncate(1);
    assert!(
        first_alone.judge().is_ok(),
        "the picture may stay on the chip"
    );
}

#[test]
fn every_kind_of_key_that_is_taken_is_taken() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa] {
        assert!(
            Case::signed(&Signing { kind, ..SIGNING }).judge().is_ok(),
            "{kind:?}"
        );
    }
    let state = state("QN");
    let signer = state
        .signer(&Signing {
            kind: KeyKind::Rsa,
            ..SIGNING
        })
        .unwrap();
    let groups = groups_of(&FACTS);
    let mut case = Case::of(state, &signer, &groups);
    let pss = Contents {
        pss: true,
        hash: HashBy::SHA_384,
        ..contents(&groups)
    };
    case.object = signer.security_object(&pss).unwrap();
    assert!(case.judge().is_ok());
}

#[test]
fn an_altered_group_is_refused() {
    let mut case = Case::new();
    case.groups[0].1 = Facts {
        family_name: "SOMEBODYELSE",
        ..FACTS
    }
    .group()
    .unwrap();
    assert_eq!(case.refused(), Refused::Altered);
    let mut case = Case::new();
    *case.groups[1].1.last_mut().unwrap() ^= 1;
    assert_eq!(case.refused(), Refused::Altered, "also of the picture");
}

#[test]
fn a_missing_and_an_unknown_group_are_refused() {
    let mut case = Case::new();
    case.groups.remove(0);
    assert_eq!(case.refused(), Refused::Group);
    let mut case = Case::new();
    case.groups.push((3, vec![1]));
    assert_eq!(case.refused(), Refused::Group);
    let mut case = Case::new();
    case.groups.push((17, vec![1]));
    assert_eq!(case.refused(), Refused::Malformed);
    // a hash of another kind than the object says
    let mut case = Case::new();
    let signer = case.state.signer(&SIGNING).unwrap();
    let wrong = HashBy {
        oid: HashBy::SHA_384.oid,
        by: HashBy::SHA_256.by,
    };
    let wrong = Contents {
        hash: wrong,
        ..contents(&case.groups)
    };
    case.object = signer.security_object(&wrong).unwrap();
    assert_eq!(case.refused(), Refused::Altered);
}

#[test]
fn weak_hashes_are_refused() {
    let mut case = Case::new();
    let signer = case.state.signer(&SIGNING).unwrap();
    let weak = Contents {
        hash: HashBy::SHA_1,
        ..contents(&case.groups)
    };
    case.object = signer.security_object(&weak).unwrap();
    assert_eq!(case.refused(), Refused::Algorithm);
}

#[test]
fn a_signer_of_nobody_or_of_another_is_refused() {
    // of a state that is on no list
    let mut case = Case::new();
    case.master_list = vec![state("QR").certificate_pem];
    assert_eq!(case.refused(), Refused::Untrusted);
    // by somebody who only has the state's name
    let mut case = Case::new();
    case.master_list = vec![state("QN").certificate_pem];
    assert_eq!(case.refused(), Refused::Untrusted);
}

#[test]
fn another_country_is_refused() {
    // a real signer of QR who writes a passport of QN
    let other = state("QR");
    let signer = other
        .signer(&Signing {
            country: "QR",
            ..SIGNING
        })
        .unwrap();
    let case = Case::of(other, &signer, &groups_of(&FACTS));
    assert_eq!(case.refused(), Refused::Country);
    // a signer who says to be of QN, certified by QR
    let other = state("QR");
    let signer = other.signer(&SIGNING).unwrap();
    let case = Case::of(other, &signer, &groups_of(&FACTS));
    assert_eq!(case.refused(), Refused::Country);
}

#[test]
fn an_expired_signer_is_refused() {
    let expired = Signing {
        until_s: NOW_S - 1,
        ..SIGNING
    };
    assert_eq!(Case::signed(&expired).refused(), Refused::SignerExpired);
    let to_come = Signing {
        from_s: NOW_S + 1,
        ..SIGNING
    };
    assert_eq!(Case::signed(&to_come).refused(), Refused::SignerExpired);
    // valid now, but not when it signed
    let late = Signing {
        from_s: NOW_S - DAY_S,
        ..SIGNING
    };
    assert_eq!(Case::signed(&late).refused(), Refused::SignerExpired);
    // the last second counts
    let last = Signing {
        until_s: NOW_S,
        ..SIGNING
    };
    assert!(Case::signed(&last).judge().is_ok());
    // the authority above it
    let (from_s, until_s) = (NOW_S - 5 * YEAR_S, NOW_S - 1);
    let over = State::new("QN", "Old CA", KeyKind::P256, from_s, until_s).unwrap();
    let signer = over.signer(&SIGNING).unwrap();
    let case = Case::of(over, &signer, &groups_of(&FACTS));
    assert_eq!(case.refused(), Refused::SignerExpired);
}

#[test]
fn a_revoked_signer_is_refused() {
    let mut case = Case::new();
    let mut list = |serials: &[u64], from_s: u64, until_s: u64| {
        case.revocation_lists = vec![
            case.state
                .revocation_list(serials, from_s, until_s)
                .unwrap(),
        ];
        case.judge().err()
    };
    let (from_s, until_s) = (NOW_S - DAY_S, NOW_S + DAY_S);
    assert_eq!(list(&[3, 7], from_s, until_s), Some(Refused::Revoked));
    assert_eq!(
        list(&[1], from_s, until_s),
        Some(Refused::Revoked),
        "the authority's own"
    );
    assert_eq!(list(&[3], from_s, until_s), None);
    assert_eq!(list(&[], from_s, until_s), None);
    // out of date: it still says who was revoked
    assert_eq!(
        list(&[7], from_s - DAY_S, NOW_S - 1),
        Some(Refused::Revoked)
    );
    assert_eq!(
        list(&[], from_s - DAY_S, NOW_S - 1),
        Some(Refused::NoRevocationList)
    );
    assert_eq!(
        list(&[], NOW_S + DAY_S, until_s + DAY_S),
        Some(Refused::NoRevocationList)
    );
}

#[test]
fn a_revocation_list_of_another_says_nothing() {
    let mut case = Case::new();
    case.revocation_lists.clear();
    assert_eq!(case.refused(), Refused::NoRevocationList);
    for other in [state("QN"), state("QR")] {
        let list = other
            .revocation_list(&[7], NOW_S - DAY_S, NOW_S + DAY_S)
            .unwrap();
        case.master_list = vec![case.state.certificate_pem.clone()];
        case.revocation_lists = vec![list];
        let (_, left_out) = Lists::read(&case.master_list, &case.revocation_lists).unwrap();
        assert_eq!(left_out.revocation_lists, 1);
        assert_eq!(case.refused(), Refused::NoRevocationList);
    }
    // a neighbour whom one believes says nothing of this state either
    let other = state("QR");
    case.master_list.push(other.certificate_pem.clone());
    case.revocation_lists = vec![
        other
            .revocation_list(&[7], NOW_S - DAY_S, NOW_S + DAY_S)
            .unwrap(),
    ];
    assert_eq!(case.refused(), Refused::NoRevocationList);
}

#[test]
fn a_key_that_is_not_for_signatures_is_refused() {
    let other = Signing {
        usages: &[KeyUsagePurpose::KeyEncipherment],
        ..SIGNING
    };
    assert_eq!(Case::signed(&other).refused(), Refused::Signer);
    let none = Signing {
        usages: &[],
        ..SIGNING
    };
    assert_eq!(Case::signed(&none).refused(), Refused::Signer);
    let authority = Signing {
        is_authority: true,
        ..SIGNING
    };
    assert_eq!(Case::signed(&authority).refused(), Refused::Signer);
}

/// Country signing CAs certify more than document signers; none of the others makes passports.
#[test]
fn a_signer_of_other_things_is_refused() {
    let with = |oid: &[u64], is_critical, content: &[u8]| {
        let state = state("QN");
        let extension = Extension {
            oid,
            is_critical,
            content,
        };
        let signer = state.signer_with(&SIGNING, &[extension]).unwrap();
        Case::of(state, &signer, &groups_of(&FACTS)).judge().err()
    };
    let refused = Some(Refused::Signer);
    // extended usages: a server's (1.3.6.1.5.5.7.3.1), and a master list's signer's (2.23.136.1.1.3)
    let server = [0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    let master_list = [0x30, 8, 6, 6, 0x67, 0x81, 8, 1, 1, 3];
    for usage in [&server[..], &master_list] {
        for is_critical in [true, false] {
            assert_eq!(with(&[2, 5, 29, 37], is_critical, usage), refused);
        }
    }
    // kinds of documents: identity cards alone; passports too; nothing that reads
    let kinds = &[2, 23, 136, 1, 1, 6, 2];
    let cards = [0x30, 9, 2, 1, 0, 0x31, 4, 0x13, 2, b'I', b'D'];
    let both = [
        0x30, 12, 2, 1, 0, 0x31, 7, 0x13, 1, b'P', 0x13, 2, b'I', b'D',
    ];
    assert_eq!(with(kinds, false, &cards), refused);
    assert_eq!(with(kinds, false, &both), None);
    assert_eq!(with(kinds, false, &cards[..4]), Some(Refused::Malformed));
    // what nobody here knows
    assert_eq!(with(&[1, 3, 6, 1, 4, 1, 99_999, 1], true, &[5, 0]), refused);
    assert_eq!(with(&[1, 3, 6, 1, 4, 1, 99_999, 1], false, &[5, 0]), None);
}

#[test]
fn one_of_several_certificates_of_a_country_signing_key_is_enough_and_none_of_a_revoked_one() {
    let mut case = Case::new();
    let own = case.master_list.clone();
    let over = case.state.again(2, NOW_S - 5 * YEAR_S, NOW_S - 1).unwrap();
    case.master_list = vec![over.clone()];
    assert_eq!(case.refused(), Refused::SignerExpired);
    for both in [[over.clone(), own[0].clone()], [own[0].clone(), over]] {
        case.master_list = both.to_vec();
        assert!(case.judge().is_ok());
    }
    let revoked = case
        .state
        .revocation_list(&[2], NOW_S - DAY_S, NOW_S + DAY_S);
    case.revocation_lists = vec![revoked.unwrap()];
    assert_eq!(case.refused(), Refused::Revoked, "it is one key");
}

#[test]
fn a_passport_that_has_expired_is_refused() {
    // 2031-03-02, its last second and the next
    let last_s = 1_930_262_399;
    let mut case = Case::new();
    case.revocation_lists = vec![
        case.state
            .revocation_list(&[], NOW_S, last_s + YEAR_S)
            .unwrap(),
    ];
    assert!(case.judge_at(last_s).is_ok());
    assert_eq!(case.judge_at(last_s + 1).err(), Some(Refused::Expired));
}

#[test]
fn bytes_after_the_end_and_broken_ones_are_refused() {
    let mut case = Case::new();
    case.object.push(0);
    assert_eq!(case.refused(), Refused::Malformed);
    let case = Case::new();
    let lists = case.lists();
    let (_, first) = &case.groups[0];
    for at in 0..case.object.len() {
        let mut broken = case.object.clone();
        broken[at] ^= 0x55;
        let groups = [(1, first.as_slice())];
        let chip = Chip {
            security_object: &broken,
            groups: &groups,
        };
        // A few bytes are not signed: what the object says of itself twice.
        if let Ok(holder) = verify(&chip, &lists, NOW_S) {
            assert_eq!(holder.zone.document_number, "Q1234567");
        }
        let short = Chip {
            security_object: &case.object[..at],
            groups: &groups,
        };
        assert!(verify(&short, &lists, NOW_S).is_err());
    }
}

#[test]
fn every_refusal_has_a_code_of_its_own() {
    let codes: std::collections::BTreeSet<_> = Refused::ALL.iter().map(|r| r.code()).collect();
    assert_eq!(codes.len(), Refused::ALL.len());
}

#[test]
fn lists_that_are_none_are_refused() {
    let read = |file: &str| Lists::read(&[file], &[""; 0]).err();
    assert_eq!(read(""), Some(ListError::Malformed));
    assert_eq!(
        read("-----BEGIN CERTIFICATE-----\n"),
        Some(ListError::Malformed)
    );
    // a certificate of nobody's state is left out, and the others stay
    let good = state("QN").certificate_pem;
    let no_country = state("Q").certificate_pem;
    let (lists, left_out) = Lists::read(&[good + &no_country], &[""; 0]).unwrap();
    assert_eq!((lists.len(), left_out.certificates), (1, 1));
}

/// What OpenSSL makes of the same is taken too, with a curve whose parameters are written out, as ICAO
/// has it.
#[test]
fn a_security_object_by_openssl_is_taken() {
    let folder = std::env::temp_dir().join(format!("passport-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let run = |args: &str| {
        let done = std::process::Command::new("openssl")
            .args(args.split(' '))
            .current_dir(&folder)
            .output()
            .expect("openssl is installed");
        assert!(
            done.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let groups = groups_of(&FACTS);
    let state = state("QN");
    let stand_in = state.signer(&SIGNING).unwrap();
    // our content, their signature
    let object = stand_in.security_object(&contents(&groups)).unwrap();
    let lds = object::SecurityObject::read(&object)
        .unwrap()
        .content_bytes()
        .to_vec();
    std::fs::write(folder.join("lds"), lds).unwrap();
    std::fs::write(folder.join("ext"), "[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n[ds]\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n[own]\ndatabase=index\ncrlnumber=number\ndefault_md=sha384\n").unwrap();
    std::fs::write(folder.join("index"), "").unwrap();
    std::fs::write(folder.join("number"), "01").unwrap();
    for name in ["ca", "ds"] {
        let curve = if name == "ca" {
            "secp384r1"
        } else {
            "prime256v1"
        };
        run(&format!(
            "ecparam -name {curve} -param_enc explicit -genkey -noout -out {name}.key"
        ));
        run(&format!(
            "req -new -key {name}.key -subj /C=QN/CN={name} -out {name}.csr"
        ));
    }
    run(
        "x509 -req -in ca.csr -signkey ca.key -sha384 -days 3650 -extfile ext -extensions ca -out ca.pem",
    );
    run(
        "x509 -req -in ds.csr -CA ca.pem -CAkey ca.key -set_serial 9 -sha384 -days 3000 -extfile ext -extensions ds -out ds.pem",
    );
    run("ca -gencrl -config ext -name own -keyfile ca.key -cert ca.pem -crldays 30 -out crl.pem");
    run(
        "cms -sign -binary -nodetach -in lds -econtent_type 2.23.136.1.1.1 -signer ds.pem -inkey ds.key -md sha256 -outform DER -out cms",
    );
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let object = specimen::file_23(&read("cms")).unwrap();
    let (lists, left_out) = Lists::read(&[read("ca.pem")], &[read("crl.pem")]).unwrap();
    assert_eq!((lists.len(), left_out), (1, LeftOut::default()));
    let now = std::time::SystemTime::now();
    let now_s = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let groups: Vec<_> = groups
        .iter()
        .map(|(n, bytes)| (*n, bytes.as_slice()))
        .collect();
    let chip = Chip {
        security_object: &object,
        groups: &groups,
    };
    let judged = verify(&chip, &lists, now_s);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(judged.err(), None);
}
