//! Reads form-encoded fields: the query of a URL, or the body of a form.

use zeroize::Zeroizing;

/// Maximum number of fields.
const MAX_FIELDS: usize = 64;

/// Fields with different names. Their values are wiped from memory.
pub(super) struct Fields(Vec<(Box<[u8]>, Zeroizing<String>)>);

impl Fields {
    /// Decodes fields, such as `code=4%2F0&state=x`.
    ///
    /// Returns `None` if there are more than [`MAX_FIELDS`], if a name occurs twice (RFC 6749, section 3.1), if a `%`
    /// starts no escape, or if a value is not UTF-8.
    pub(super) fn read(encoded: &[u8]) -> Option<Self> {
        let mut fields: Vec<(Box<[u8]>, Zeroizing<String>)> = Vec::new();
        for field in encoded.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            let equals = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            let (name, value) = field.split_at_checked(equals)?;
            let name = decode(name)?;
            let mut value = decode(value.strip_prefix(b"=").unwrap_or_default())?;
            if fields.len() == MAX_FIELDS || fields.iter().any(|(other, _)| **other == **name) {
                return None;
            }
            str::from_utf8(&value).ok()?;
            let value = Zeroizing::new(String::from_utf8(std::mem::take(&mut *value)).ok()?);
            fields.push((name.as_slice().into(), value));
        }
        Some(Self(fields))
    }

    /// Returns the value of a field. An empty value counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| **other == *name.as_bytes())?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Replaces `+` by a space, and each escape by its byte.
fn decode(encoded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // With capacity for all, because growing would leave copies behind that are not wiped.
    let mut decoded = Zeroizing::new(Vec::with_capacity(encoded.len()));
    let mut bytes = encoded.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_value(*bytes.next()?)? << 4 | hex_value(*bytes.next()?)?,
            other => *other,
        });
    }
    Some(decoded)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let fields = Fields::read(b"code=4%2F0+%c3%a9&&state=a=b%26c&empty=&flag&x%3d=1").unwrap();
        for (name, value) in [
            ("code", Some("4/0 é")),
            ("state", Some("a=b&c")),
            ("empty", None),
            ("flag", None),
            ("x=", Some("1")),
            ("other", None),
        ] {
            assert_eq!(fields.get(name), value, "{name}");
        }
        assert!(Fields::read(b"").unwrap().get("").is_none());
    }

    #[test]
    fn malformed_and_ambiguous_fields_are_refused() {
        let many = "a&".repeat(2) + &(0..70).map(|n| format!("n{n}=1&")).collect::<String>();
        let many_different = (0..65).map(|n| format!("n{n}=1&")).collect::<String>();
        for encoded in [
            "code=1&code=2",
            "code=1&cod%65=2",
            "code=1&code=1",
            "code&code",
            "=1&=2",
            "code=%",
            "code=%4",
            "code=%zz",
            "code=%+1",
            "code=%ff",
            &many,
            &many_different,
        ] {
            assert!(Fields::read(encoded.as_bytes()).is_none(), "{encoded}");
        }
        assert!(Fields::read(b"a=\xff").is_none());
    }
}
