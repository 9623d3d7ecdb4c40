use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::key;
use crate::store::{
    record::{Kind, Miss},
    sealer::{Binding, Purpose, Sealer, Times},
};

const CONTENT: &[u8] = br#"{"auth_token": "canary", "body": {}}"#;
const BINDING: Binding<'static> = Binding { store: "tokens", identity: "alice", part: "token" };

fn times() -> Times {
    let issued_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_482_000_123);
    Times { issued_at, expires_at: issued_at + Duration::from_secs(3600) }
}

fn sealer() -> Sealer {
    Sealer::new(&key(1), Purpose::Tokens)
}

fn sealed() -> Vec<u8> {
    sealer().seal(BINDING, Kind::Token, times(), CONTENT).unwrap()
}

fn open(record: &[u8]) -> Result<Vec<u8>, Miss> {
    sealer().open(BINDING, record.to_vec()).map(|(_, content)| content.to_vec())
}

#[test]
fn a_record_is_64_bytes_longer_than_its_content_and_is_opened() {
    for length in [0, 1, 15, 16, 17, 63, 64, 65, 10_000] {
        let content = vec![7; length];
        let record = sealer().seal(BINDING, Kind::Failure, times(), &content).unwrap();
        assert_eq!(record.len(), length + 64);
        let (header, opened) = sealer().open(BINDING, record).unwrap();
        assert_eq!(*opened, content);
        assert_eq!(header.kind, Kind::Failure);
        assert_eq!((header.issued_at, header.expires_at), (times().issued_at, times().expires_at));
    }
    assert!(!sealed().windows(6).any(|window| window == b"canary"));
}

#[test]
fn equal_contents_have_different_records_and_versions() {
    assert_ne!(sealed()[..48], sealed()[..48]);
    assert_ne!(sealed()[48..], sealed()[48..]);
    assert_eq!(sealed()[..24], sealed()[..24]);
}

#[test]
fn each_bit_and_each_length_counts() {
    let record = sealed();
    assert_eq!(open(&record).unwrap(), CONTENT);
    for length in 0..record.len() {
        let miss = open(&record[..length]).unwrap_err();
        assert_eq!(miss, if length < 64 { Miss::NoRecord } else { Miss::Seal }, "{length}");
    }
    for bit in 0..8 * record.len() {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let miss = open(&changed).unwrap_err();
        let expected: &[Miss] = match bit / 8 {
            0 | 1 => &[Miss::NoRecord],
            2 => &[Miss::Format],
            3..=6 => &[Miss::Key],
            7 => &[Miss::Kind, Miss::Seal],
            8..=23 => &[Miss::Content, Miss::Seal],
            _ => &[Miss::Seal],
        };
        assert!(expected.contains(&miss), "bit {bit}: {miss:?}");
    }
    for longer in [[&record[..], &[0]].concat(), [&[0], &record[..]].concat(), record.repeat(2)] {
        assert!(open(&longer).is_err());
    }
}

#[test]
fn a_record_is_bound_to_its_key_its_purpose_and_its_name() {
    let opened_by = |sealer: Sealer, binding| sealer.open(binding, sealed()).map(drop);
    assert_eq!(opened_by(sealer(), BINDING), Ok(()));
    assert_eq!(opened_by(Sealer::new(&key(2), Purpose::Tokens), BINDING), Err(Miss::Key));
    assert_eq!(opened_by(Sealer::new(&key(1), Purpose::Validations), BINDING), Err(Miss::Key));
    for binding in [
        Binding { store: "token", ..BINDING },
        Binding { identity: "bob", ..BINDING },
        Binding { identity: "", ..BINDING },
        Binding { part: "failure", ..BINDING },
        // The same characters, divided in another way.
        Binding { store: "tokenst", part: "oken", ..BINDING },
        Binding { part: "tokena", identity: "lice", ..BINDING },
    ] {
        assert_eq!(opened_by(sealer(), binding), Err(Miss::Seal));
    }
}

#[test]
fn names_differ_by_key_purpose_store_and_identity() {
    let name = |sealer: &Sealer, store, identity| sealer.identity_name(store, identity);
    let names = [
        name(&sealer(), "tokens", "alice"),
        name(&sealer(), "tokens", "bob"),
        name(&sealer(), "token", "salice"),
        name(&Sealer::new(&key(2), Purpose::Tokens), "tokens", "alice"),
        name(&Sealer::new(&key(1), Purpose::Validations), "tokens", "alice"),
    ];
    for (index, name) in names.iter().enumerate() {
        assert_eq!(name.len(), 43);
        assert!(!names[..index].contains(name));
    }
    assert_eq!(names[0], sealer().identity_name("tokens", "alice"));
}

/// Other versions of the crate have to make the same names and read the same records. These were made by a program in
/// another language.
#[test]
fn names_and_records_are_fixed() {
    assert_eq!(&*sealer().identity_name("tokens", "alice"), "D8B3cNjcHogjhyIGVFvYm23o2KwV1WWy0767kfZnDJs");
    let record = concat!(
        "746b01db7ed858010000019bc1bdccfb0000019bc1f4bb7b000102030405060708090a0b0c0d0e0f1011121314151617",
        "50ba1949543727c37c4d6a956605d4c67e8ee0b3dba5e6dc482190aa523711c03597a7dc0238c33c6f31b7c7485dace8",
        "0fcf3f4f",
    );
    let record: Vec<u8> =
        (0..record.len()).step_by(2).map(|at| u8::from_str_radix(&record[at..at + 2], 16).unwrap()).collect();
    assert_eq!(open(&record).unwrap(), CONTENT);
}

proptest! {
    #[test]
    fn bytes_of_a_stranger_are_a_miss(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&bytes).is_err());
        prop_assert!(open(&[&sealed()[..7], &bytes[..]].concat()).is_err());
        prop_assert!(open(&[&sealed()[..48], &bytes[..]].concat()).is_err());
    }

    #[test]
    fn two_records_cannot_be_combined(at in 1..CONTENT.len() + 64) {
        let (a, b) = (sealed(), sealed());
        // Up to the nonce, both are equal.
        if at > 24 {
            prop_assert!(open(&[&a[..at], &b[at..]].concat()).is_err());
        }
        prop_assert!(open(&[&a[at..], &b[..at]].concat()).is_err());
    }

    #[test]
    fn changed_records_are_a_miss(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut record = sealed();
        let unchanged = record.clone();
        for (at, byte) in changes {
            let at = at.index(record.len());
            record[at] = record[at].wrapping_add(byte);
        }
        record.truncate(64 + end.index(record.len()));
        if record != unchanged {
            prop_assert!(open(&record).is_err());
        }
    }
}
