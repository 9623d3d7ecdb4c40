//! The encoding of forms and queries (`application/x-www-form-urlencoded`).

use zeroize::Zeroizing;

/// Encodes names and values in this order. The memory is wiped when the result is dropped.
pub(in crate::federation) fn encode(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // With capacity for the whole text, because growing would leave copies behind that are not wiped.
    let length = fields.iter().map(|(name, value)| encoded_len(name) + encoded_len(value) + 2).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        push_encoded(&mut text, name);
        text.push('=');
        push_encoded(&mut text, value);
    }
    text
}

/// Encodes one text: a space becomes `+`, and all but letters, digits and `-._~` becomes the hexadecimal form of its
/// UTF-8 bytes.
pub(super) fn encode_text(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(encoded_len(text)));
    push_encoded(&mut encoded, text);
    encoded
}

fn push_encoded(encoded: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            byte if is_unreserved(byte) => encoded.push(char::from(byte)),
            byte => {
                let digit = |value: u8| {
                    char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase()
                };
                encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if byte == b' ' || is_unreserved(byte) { 1 } else { 3 }).sum()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_in_their_order() {
        assert_eq!(*encode(&[]), "");
        let fields = [("username", "projet-été"), ("password", "p&=w +%~*/\n"), ("scope", ""), ("a b", "名")];
        let encoded = encode(&fields);
        assert_eq!(
            *encoded,
            "username=projet-%C3%A9t%C3%A9&password=p%26%3Dw+%2B%25~%2A%2F%0A&scope=&a+b=%E5%90%8D"
        );
        assert_eq!(encoded.capacity(), encode_text(&encoded).len().min(encoded.capacity()));
    }

    #[test]
    fn the_text_does_not_grow_while_it_is_written() {
        for text in ["", "a", "é&=", "a b"] {
            let encoded = encode_text(text);
            assert_eq!(encoded.len(), encoded_len(text));
            let form = encode(&[(text, text), (text, text)]);
            assert!(form.len() <= form.capacity() && form.capacity() <= 4 * encoded_len(text) + 4, "{text}");
        }
    }
}
