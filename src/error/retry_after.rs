//! Reads the `Retry-After` and `Date` headers of responses.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};
use jiff::{
    fmt::{rfc2822::DateTimeParser, strtime},
    tz::TimeZone,
};

/// Returns the delay that a server requests with `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
///
/// Returns `None` for any other value, and for a date in the past.
///
/// A date is compared with the clock of the server: the `Date` of the response. Without a valid `Date` it is compared
/// with `now`, the clock of this machine.
///
/// The delay has no upper limit; callers have to apply their own.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let sent_at = date(headers).unwrap_or(now);
    let since_epoch = sent_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    http_date(text)?.checked_sub(since_epoch)
}

/// Returns when a response was sent, by the clock of the server (`Date`, RFC 9110, section 6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(http_date(headers.get(DATE)?.to_str().ok()?.trim())?)
}

/// Parses a date in any of the three formats of RFC 9110, section 5.6.7. Returns the time since 1970.
fn http_date(text: &str) -> Option<Duration> {
    static IMF_FIXDATE: DateTimeParser = DateTimeParser::new();
    let obsolete = |format| {
        let date = strtime::parse(format, text).ok()?.to_datetime().ok()?;
        TimeZone::UTC.to_timestamp(date).ok()
    };
    let date = (IMF_FIXDATE.parse_timestamp(text).ok())
        .or_else(|| obsolete("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| obsolete("%a %b %e %H:%M:%S %Y"))?;
    Some(Duration::try_from(date.as_duration()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_other_values_ignored() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("007", Some(7)),
            ("315360000", Some(315_360_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("7 s", None),
            ("7, 8", None),
            ("", None),
            (" ", None),
            ("soon", None),
            ("\u{663}", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Thu, 04 Nov 2004 08:49:37 GMT", Some(315_446_400)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("Sat, 01 Jan 0000 00:00:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
            ("Mon, 06 Nov 1994 08:50:07 GMT", None),
            ("Sun, 32 Nov 1994 08:50:07 GMT", None),
            ("Sun, 06 Nov 1994 25:50:07 GMT", None),
            ("1994-11-06T08:50:07Z", None),
        ] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = text.parse() {
                headers.insert(RETRY_AFTER, value);
            }
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_date_is_compared_with_the_date_of_the_response() {
        let hour = 3_600;
        // Sun, 06 Nov 1994 08:49:37 GMT, by clocks that are right, slow and fast.
        for now in [784_111_777, 784_111_777 - hour, 784_111_777 + hour] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            for (date, asked, expected) in [
                ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:42 GMT", Some(5)),
                ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:42 1994", Some(5)),
                ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", None),
                ("Sun, 06 Nov 1994 08:49:37 GMT", "7", Some(7)),
            ] {
                let headers = HeaderMap::from_iter([
                    (DATE, date.parse().unwrap()),
                    (RETRY_AFTER, asked.parse().unwrap()),
                ]);
                let expected = expected.map(Duration::from_secs);
                assert_eq!(retry_after(&headers, now), expected, "{asked} at {date}");
            }
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = "Sun, 06 Nov 1994 08:49:42 GMT".parse().unwrap();
        let headers = HeaderMap::from_iter([(DATE, "soon".parse().unwrap()), (RETRY_AFTER, asked)]);
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(5)), "an invalid Date");
    }
}
