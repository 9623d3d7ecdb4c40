use std::time::Duration;

use crate::store::file::{
    boot_clock::{BootId, Now},
    entry::{HEADER_LENGTH, Header},
    lease_record::LeaseRecord,
};

const WRITTEN: Now = Now { wall: 1_000_000, boot: 5_000, boot_id: BootId([1; 16]) };
const AFTER_RESTART: Now = Now { wall: 1_000_000, boot: 10, boot_id: BootId([2; 16]) };

fn has_ended(now: Now) -> bool {
    Header::new(WRITTEN, Duration::from_secs(60)).has_ended(now)
}

#[test]
fn a_record_ends_by_the_boot_clock_whatever_the_wall_clock_says() {
    for wall in [0, 1_000_000, u64::MAX] {
        assert!(!has_ended(Now { wall, boot: 64_999, ..WRITTEN }));
        assert!(has_ended(Now { wall, boot: 65_000, ..WRITTEN }));
    }
}

#[test]
fn after_a_restart_a_record_ends_by_the_wall_clock() {
    assert!(!has_ended(Now { wall: 1_059_999, ..AFTER_RESTART }));
    assert!(has_ended(Now { wall: 1_060_000, ..AFTER_RESTART }));
}

#[test]
fn a_record_from_the_future_has_ended() {
    assert!(has_ended(Now { boot: 4_999, ..WRITTEN }));
    assert!(has_ended(Now { wall: 999_999, ..AFTER_RESTART }));
}

#[test]
fn without_a_boot_id_the_wall_clock_counts() {
    let written = Now { boot_id: BootId::UNKNOWN, ..WRITTEN };
    let header = Header::new(written, Duration::from_secs(60));
    assert!(!header.has_ended(Now { boot: 0, ..written }));
    assert!(header.has_ended(Now { wall: 1_060_000, ..written }));
}

#[test]
fn a_header_is_read_as_it_was_written_and_nothing_else_is_one() {
    let header = Header::new(WRITTEN, Duration::MAX);
    let bytes = header.to_bytes();
    assert_eq!(Header::parse(&bytes), Some((header, &[][..])));
    for length in 0..HEADER_LENGTH {
        assert_eq!(Header::parse(&bytes[..length]), None);
    }
    assert_eq!(Header::parse(&[0; 100]), None);
}

#[test]
fn a_lease_ends_after_its_term_and_for_other_clocks_at_once() {
    let record = LeaseRecord { boot_id: BootId([1; 16]), begin: 5_000, term: 4_000 };
    assert_eq!(LeaseRecord::parse(&record.to_bytes()), Some(record));
    assert!(!record.has_ended(WRITTEN));
    assert!(!record.has_ended(Now { boot: 8_999, ..WRITTEN }));
    assert!(record.has_ended(Now { boot: 9_000, ..WRITTEN }));
    assert!(record.has_ended(Now { boot: 4_999, ..WRITTEN }));
    assert!(record.has_ended(Now { boot: 6_000, ..AFTER_RESTART }));
}

#[test]
fn the_boot_clock_goes_on() {
    let first = Now::read();
    let second = Now::read();
    assert!(second.boot >= first.boot);
    assert_eq!(first.boot_id, second.boot_id);
    assert_eq!(cfg!(target_os = "linux"), first.boot_id != BootId::UNKNOWN);
}
