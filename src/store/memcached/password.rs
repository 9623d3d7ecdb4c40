use std::fmt;

use zeroize::Zeroizing;

use crate::Secret;

/// The username and password of a server that runs with `-Y`.
#[derive(Clone)]
pub(super) struct Password {
    username: Box<str>,
    password: Secret,
}

/// Longer ones do not fit into the first command that a server accepts.
const MAX_LENGTH: usize = 255;

impl Password {
    /// Checks that both can be sent. The error says what is wrong, without the password.
    pub(super) fn new(username: &str, password: &Secret) -> Result<Self, &'static str> {
        let is_word = |text: &str| {
            let is_end = |byte: u8| byte == b' ' || byte.is_ascii_control();
            (1..=MAX_LENGTH).contains(&text.len()) && !text.bytes().any(is_end)
        };
        if !is_word(username) || username.contains(':') {
            return Err(
                "the username for memcached is empty or too long, or has a blank, a colon or a control character",
            );
        }
        // A server takes a blank for the end of the password.
        if !is_word(password.expose()) {
            return Err(
                "the password for memcached is empty or too long, or has a blank or a control character",
            );
        }
        Ok(Self { username: username.into(), password: password.clone() })
    }

    /// Returns the command that authenticates a connection. Its memory is wiped.
    pub(super) fn command(&self) -> Zeroizing<Vec<u8>> {
        let length = self.username.len() + 1 + self.password.expose().len();
        // Large enough for all, so that no copy is left in memory that was too small.
        let mut command = Zeroizing::new(Vec::with_capacity(length + 64));
        command.extend_from_slice(format!("set authentication 0 0 {length}\r\n").as_bytes());
        command.extend_from_slice(self.username.as_bytes());
        command.push(b' ');
        command.extend_from_slice(self.password.expose().as_bytes());
        command.extend_from_slice(b"\r\n");
        command
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_cannot_hold_a_command() {
        let password = Password::new("user", &Secret::new("pass:word")).unwrap();
        assert_eq!(*password.command(), b"set authentication 0 0 14\r\nuser pass:word\r\n");
        for (username, password) in [
            ("", "p"),
            ("u", ""),
            ("u", "p q"),
            ("u v", "p"),
            ("u:v", "p"),
            ("u\r\n", "p"),
            ("u", "canary\r\nflush_all"),
        ] {
            let reason = Password::new(username, &Secret::new(password)).unwrap_err();
            assert!(!reason.contains("canary"));
        }
        assert!(Password::new(&"u".repeat(256), &Secret::new("p")).is_err());
        assert!(Password::new("u", &Secret::new("p".repeat(256))).is_err());
    }
}
