//! Parses the times of a token document: ISO 8601 in the forms that keystoneauth accepts.
//!
//! The text is parsed by hand because jiff accepts other forms. jiff rejects a date without a day, a month of one
//! digit, and a time after 9999-12-30T22:00:00Z. It accepts a lower-case `t` or `z`, the second 60, and an offset of 24
//! hours, which keystoneauth rejects. The time is computed by jiff.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, civil::DateTime};

/// Parses a time such as `2026-01-15T13:00:00.000000Z`. Returns `None` if the text is not a time.
///
/// It accepts what keystoneauth accepts through the Python package iso8601: dates and times with or without separators
/// (`-` and `:`), a date of only a year or a year and month, `T` or a space before the time of day, and `.` or `,`
/// before the fraction. A time without an offset is in UTC. Digits after the microseconds are ignored.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let mut rest = Cursor(text.as_bytes());
    let year = rest.digits(4, 4)?;
    let mut month = 1;
    let mut day = 1;
    let mut time = [0_i64; 3];
    let mut nanos = 0;
    let mut offset = 0;

    if !rest.is_empty() {
        let has_dash = rest.take(b"-").is_some();
        month = rest.digits(if has_dash { 1 } else { 2 }, 2)?;
        if rest.is_empty() && !has_dash {
            return None;
        }
    }
    if !rest.is_empty() {
        let min_digits = if rest.take(b"-").is_some() { 1 } else { 2 };
        day = rest.digits(min_digits, 2)?;
    }
    if !rest.is_empty() {
        rest.take(b" T")?;
        time = [rest.digits(2, 2)?, 0, 0];
        if let Some(minute) = rest.time_part(2) {
            time[1] = minute;
        }
        if let Some(second) = rest.time_part(1) {
            time[2] = second;
            if rest.take(b".,").is_some() {
                nanos = rest.fraction()?;
            }
        }
        offset = rest.offset()?;
    }
    if !rest.is_empty() {
        return None;
    }

    let [hour, minute, second] = time.map(|part| i8::try_from(part).unwrap_or(i8::MAX));
    let local = DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        hour,
        minute,
        second,
        nanos,
    )
    .ok()?;
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    system_time(local.duration_since(epoch) - SignedDuration::from_secs(offset))
}

fn system_time(since_epoch: SignedDuration) -> Option<SystemTime> {
    let distance: Duration = since_epoch.unsigned_abs();
    if since_epoch.is_negative() {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// The part of the text that is not parsed yet.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next byte if it is one of these.
    fn take(&mut self, any_of: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        any_of.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    /// Takes a number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let mut value = 0;
        for taken in 0..max {
            match self.take(b"0123456789") {
                Some(digit) => value = value * 10 + i64::from(digit - b'0'),
                None if taken < min => return None,
                None => break,
            }
        }
        Some(value)
    }

    /// Takes the minutes or the seconds, of `min` to 2 digits, and the colon before them if there is one. Takes nothing
    /// if the time of day ends here.
    fn time_part(&mut self, min: usize) -> Option<i64> {
        let before = self.0;
        let _ = self.take(b":");
        let part = self.digits(min, 2);
        if part.is_none() {
            self.0 = before;
        }
        part
    }

    /// Takes the digits after the decimal sign. Returns them in nanoseconds, truncated to whole microseconds.
    fn fraction(&mut self) -> Option<i32> {
        let mut micros = i32::from(self.take(b"0123456789")? - b'0');
        let mut digits = 1;
        while let Some(digit) = self.take(b"0123456789") {
            if digits < 6 {
                micros = micros * 10 + i32::from(digit - b'0');
                digits += 1;
            }
        }
        Some(micros * 10_i32.pow(6 - digits) * 1000)
    }

    /// Takes the offset. Returns it in seconds east of UTC, which is 0 if there is none.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.take(b"Z+-") {
            None | Some(b'Z') => return Some(0),
            Some(b'-') => -1,
            Some(_) => 1,
        };
        let hours = self.digits(2, 2)?;
        let _ = self.take(b":");
        let minutes = if self.is_empty() { 0 } else { self.digits(2, 2)? };
        let seconds = hours * 3600 + minutes * 60;
        (seconds < 24 * 3600).then_some(sign * seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i128> {
        let time = parse(text)?;
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_micros() as i128,
            Err(before) => -(before.duration().as_micros() as i128),
        })
    }

    #[test]
    fn every_form_of_the_same_time() {
        for text in [
            "2026-01-15T13:00:00Z",
            "2026-01-15T13:00:00.000000Z",
            "2026-01-15T13:00:00",
            "2026-01-15 13:00:00+00:00",
            "2026-01-15T15:30:00+02:30",
            "2026-01-15T05:00:00-0800",
            "2026-01-15T05:00:00-08",
            "20260115T130000Z",
            "2026-01-15T13:00Z",
            "2026-01-15T13Z",
            "2026-1-15T13:00:0Z",
        ] {
            assert_eq!(micros(text), Some(1_768_482_000_000_000), "{text}");
        }
    }

    #[test]
    fn partial_dates_and_the_limits_of_the_range() {
        assert_eq!(micros("2026-01"), Some(1_767_225_600_000_000));
        assert_eq!(micros("2026"), Some(1_767_225_600_000_000));
        assert_eq!(micros("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000_000));
        assert_eq!(micros("9999-12-31T23:59:59.999999Z"), Some(253_402_300_799_999_999));
        assert_eq!(micros("2026-01-15T13:00:00,1234567Z"), Some(1_768_482_000_123_456));
    }

    #[test]
    fn text_that_is_not_a_time() {
        for text in [
            "",
            "garbage",
            "202601",
            "2026-13-01T00:00:00Z",
            "2026-02-30",
            "2026-01-15T24:00:00Z",
            "2026-01-15T23:59:60Z",
            "2026-01-15t13:00:00z",
            " 2026-01-15",
            "2026-01-15T13:00:00Z ",
            "2026-01-15T13:00:00 Z",
            "2026-01-15T13:00:00+24:00",
            "2026-01-15T13:00:00+01:0",
            "2026-W03-4",
            "2026-015T13:00:00Z",
            "1768482000",
            "2026-01-15T13:00:00.Z",
            "2026-01-15T1:2:3Z",
            "2026/01/15",
            "２０２６",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
