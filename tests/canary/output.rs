//! The output of a test, and the search for secrets in it.

use std::{
    fmt::Debug,
    io,
    sync::{LazyLock, Mutex, Once},
};

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};

/// A text that every secret contains.
pub(crate) const CANARY: &str = "canary-7d1f-6b2a";

/// All log lines, panic messages, and `Debug` and `Display` output so far.
pub(crate) static OUTPUT: Mutex<String> = Mutex::new(String::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        OUTPUT.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a copy of the output. A panic while it is locked would wait for the lock for ever.
pub(crate) fn output() -> String {
    OUTPUT.lock().unwrap().clone()
}

pub(crate) fn capture_output() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Log).init();
        std::panic::set_hook(Box::new(|panic| {
            let text = format!("{panic} {panic:?}\n");
            OUTPUT.lock().unwrap().push_str(&text);
            if !text.contains("no credentials here") && !text.contains("part of a test") {
                eprintln!("{panic}");
            }
        }));
    });
}

#[track_caller]
pub(crate) fn debug(value: &dyn Debug) {
    let shown = format!("{value:?}\n{value:#?}\n");
    assert_clean(&shown);
    OUTPUT.lock().unwrap().push_str(&shown);
}

/// The encodings of the canary, which are found whatever text surrounds it.
static FORMS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = CANARY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let bytes = CANARY.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let mut forms = vec![CANARY.to_owned(), hex, percent, bytes];
    for before in 0..3_usize {
        // Base64 encodes groups of three bytes. Only the groups that lie completely within the canary are known.
        let whole = &CANARY[(3 - before) % 3..];
        let whole = &whole[..whole.len() / 3 * 3];
        forms.extend([BASE64_STANDARD_NO_PAD.encode(whole), BASE64_URL_SAFE_NO_PAD.encode(whole)]);
    }
    forms
});

pub(crate) fn leaked(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    FORMS.iter().find(|form| text.contains(&***form) || lower.contains(&***form)).cloned()
}

#[track_caller]
pub(crate) fn assert_clean(shown: &str) {
    if let Some(form) = leaked(shown) {
        panic!("the secret is shown as {form} in: {}", shown.replace(&form, "<HERE>"));
    }
}

#[test]
fn a_secret_is_found_in_every_encoding() {
    let secret = format!("{CANARY}-secret");
    for before in ["", "a", "ab", "admin:"] {
        let text = format!("{before}{secret}");
        let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let bytes = format!("{:?}", text.as_bytes());
        let base64 = [BASE64_STANDARD_NO_PAD.encode(&text), BASE64_URL_SAFE_NO_PAD.encode(&text)];
        for shown in base64.into_iter().chain([hex, percent, bytes, text]) {
            assert!(leaked(&format!("x {shown} y")).is_some(), "{shown}");
        }
    }
    assert!(leaked("canary-7d1f").is_none());
}
