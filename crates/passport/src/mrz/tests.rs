use super::*;

/// The example of ICAO 9303-4, appendix B.
const EXAMPLE: &str =
    "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10";
/// 2010-01-01
const THEN_S: u64 = 1_262_304_000;

fn parse(text: &str) -> Result<Mrz, Refused> {
    Mrz::parse(text.as_bytes())
}

#[test]
fn the_example_of_the_standard_reads() {
    let read = parse(EXAMPLE).ok().unwrap();
    assert_eq!((read.state.as_str(), read.country.as_str()), ("UTO", "UT"));
    assert_eq!(read.family_name, "ERIKSSON");
    assert_eq!(read.given_name, "ANNA MARIA");
    assert_eq!(read.document_number, "L898902C3");
    assert_eq!(read.personal_number.as_deref(), Some("ZE184226B"));
    assert_eq!(read.sex, Sex::Female);
    assert_eq!(read.birthdate(THEN_S).ok().unwrap(), "1974-08-12");
    // its last day is 2012-04-15
    assert_eq!(read.stands(1_334_534_399).ok(), Some(true));
    assert_eq!(read.stands(1_334_534_400).ok(), Some(false));
}

#[test]
fn every_changed_character_that_a_digit_covers_is_seen() {
    for at in (44..54).chain(57..64).chain(65..88) {
        let mut text = EXAMPLE.as_bytes().to_vec();
        // By one: a digit modulo ten does not tell an L from a 1.
        text[at] = match text[at] {
            b'<' => b'1',
            b'9' | b'Z' => text[at] - 1,
            other => other + 1,
        };
        assert!(Mrz::parse(&text).is_err(), "{at}");
    }
}

#[test]
fn what_is_no_passport_is_refused() {
    let with = |from: &str, to: &str| parse(&EXAMPLE.replacen(from, to, 1)).err();
    assert_eq!(
        with("P<UTO", "I<UTO"),
        Some(Refused::Mrz),
        "an identity card"
    );
    assert_eq!(with("P<UTO", "P<ZZZ"), Some(Refused::State));
    assert_eq!(with("36UTO", "36ZZZ"), Some(Refused::State));
    assert_eq!(with("ANNA", "anna"), Some(Refused::Mrz));
    assert_eq!(
        with("ERIKSSON<<ANNA<MARIA", "<<<<<<<<<<<<<<<<<<<<"),
        Some(Refused::Mrz),
        "nobody"
    );
    assert_eq!(with("F12", "X12"), Some(Refused::Mrz));
    assert_eq!(parse(&EXAMPLE[1..]).err(), Some(Refused::Mrz));
    assert_eq!(parse(&format!("{EXAMPLE}<")).err(), Some(Refused::Mrz));
    assert_eq!(Mrz::of_group(EXAMPLE.as_bytes()).err(), Some(Refused::Mrz));
}

#[test]
fn a_birth_is_never_to_come() {
    let read = parse(EXAMPLE).ok().unwrap();
    // 2074-08-11 and 2074-08-12
    assert_eq!(read.birthdate(3_301_171_200).ok().unwrap(), "1974-08-12");
    assert_eq!(read.birthdate(3_301_257_600).ok().unwrap(), "2074-08-12");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(0u8.., 0..120)) {
        let _read = Mrz::of_group(&bytes);
        let _read = Mrz::parse(&bytes);
    }
}
