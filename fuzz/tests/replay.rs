//! Runs each fuzz target with its corpus and with thousands of mutations of it. This needs no fuzzer.
//!
//! `FUZZ_MUTATIONS` sets the number of mutations for each target. The default is 20,000.

use std::{fs, path::Path};

/// Texts that parsers often handle incorrectly. Mutations insert them.
const TRICKY_TEXTS: [&str; 48] = [
    "\n",
    "\n\n",
    "/",
    "//",
    "..",
    "/../",
    "%2e",
    "%2F",
    "%5c",
    "\\",
    "@",
    ":",
    ":443",
    ":80",
    ":0",
    ":65536",
    "?",
    "#",
    ";",
    "[::1]",
    "[",
    "]",
    ".",
    "http://",
    "https://",
    "HTTPS://",
    "evil.org",
    "127.0.0.1",
    "0x7f.1",
    "\0",
    "\r\n",
    "\t",
    " ",
    "\u{e9}",
    "\"",
    "null",
    "[]",
    "{}",
    "[[[[[[[[",
    "-1",
    "1e999",
    "99999999999999999999",
    "latest",
    "v2.1",
    "Z",
    "+00:00",
    "$(tenant_id)s",
    "%(project_id)s",
];

macro_rules! targets {
    ($($target:ident),+) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), tower_keystone_fuzz::$target::run);
        }
    )+};
}

targets! {
    access_rules, auth_response, auth_state, browser_request, catalog, config, discovery, join, origin_guard,
    project_in_path, provider_metadata, retry_after, saml_ecp, store_record, timestamp, token_header, token_response,
    validated_request, validation_answer
}

fn replay(name: &str, target: fn(&[u8])) {
    let mutations = std::env::var("FUZZ_MUTATIONS").map_or(20_000, |number| number.parse().unwrap());
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    let inputs = corpus.iter().cloned().chain([Vec::new()]);
    let mutated = (0..mutations).map(|seed| mutate(&corpus, seed));
    for input in inputs.chain(mutated) {
        let guard = PrintOnPanic(name, &input);
        target(&input);
        std::mem::forget(guard);
    }
}

/// Prints the input if the target panics.
struct PrintOnPanic<'a>(&'a str, &'a [u8]);

impl Drop for PrintOnPanic<'_> {
    fn drop(&mut self) {
        let Self(name, input) = self;
        eprintln!("{name} fails for this input, add it to fuzz/corpus/{name}:\n{}", input.escape_ascii());
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Returns an input of the corpus with one to six random changes.
fn mutate(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut input = rng.choice(corpus).unwrap().clone();
    for _ in 0..rng.usize(1..=6) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..=16)).min(input.len());
        match rng.u8(..6) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => input[at] = rng.u8(..),
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                let other = rng.choice(corpus).unwrap();
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(..=64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let text = rng.choice(TRICKY_TEXTS).unwrap();
                input.splice(at..end, text.bytes());
            }
        }
    }
    input
}
