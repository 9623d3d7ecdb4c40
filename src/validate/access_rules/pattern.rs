//! Patterns for the paths of requests.

/// Returns whether the pattern of an access rule matches a path.
///
/// - `*` and `{name}` match one or more characters except `/`.
/// - `**` matches any characters, or none.
/// - Everything else matches only itself, and so does a `{` without a `}` after it.
///
/// The path is read once for each 64 tokens of the pattern, whatever both contain. The memory is proportional to the
/// length of the path.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let (literal, pattern) = pattern.split_at(pattern.find(['*', '{']).unwrap_or(pattern.len()));
    let Some(path) = path.strip_prefix(literal) else { return false };

    // Whether the tokens that were read so far match this many bytes of the path.
    let mut matched = vec![false; path.len() + 1];
    if let Some(no_bytes) = matched.first_mut() {
        *no_bytes = true;
    }
    let mut tokens = Tokens::new(pattern).peekable();
    while tokens.peek().is_some() {
        Block::new(tokens.by_ref().take(Block::LEN)).extend_matches(path.as_bytes(), &mut matched);
    }
    matched.last() == Some(&true)
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Matches this byte.
    Byte(u8),
    /// Matches one or more bytes except `/`.
    InSegment,
    /// Matches any bytes, or none. It never follows itself.
    Anything,
}

/// Splits a pattern into tokens.
struct Tokens<'a> {
    rest: &'a [u8],
    /// Whether a `{` was found that no `}` follows. None of the later ones is followed by one either.
    is_unclosed: bool,
}

impl<'a> Tokens<'a> {
    fn new(pattern: &'a str) -> Self {
        Self { rest: pattern.as_bytes(), is_unclosed: false }
    }

    /// Returns what follows the `}` that ends the name at the start of the rest.
    fn after_name(&mut self) -> Option<&'a [u8]> {
        if self.is_unclosed || self.rest.first() != Some(&b'{') {
            return None;
        }
        let mut bytes = self.rest.iter();
        let end = bytes.position(|&byte| {
            count_step();
            byte == b'}'
        });
        let after = end.map(|_| bytes.as_slice());
        self.is_unclosed = after.is_none();
        after
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let (token, rest) = if let Some(after) = self.after_name() {
            (Token::InSegment, after)
        } else {
            match self.rest {
                [b'*', b'*', after @ ..] => (Token::Anything, after),
                [b'*', after @ ..] => (Token::InSegment, after),
                [byte, after @ ..] => (Token::Byte(*byte), after),
                [] => return None,
            }
        };
        self.rest = rest;
        if token == Token::Anything {
            while let [b'*', b'*', after @ ..] = self.rest {
                self.rest = after;
            }
        }
        Some(token)
    }
}

/// Up to 64 tokens, as an automaton with a state for each. It is in all states at once that the path can lead to: in
/// state `n`, the path matches all tokens up to number `n` of the block. Each bit of a number stands for a state.
struct Block {
    /// The states that a byte leads to, if it is the literal byte of their tokens.
    literal: [u64; 256],
    /// The states of [`Token::InSegment`].
    in_segment: u64,
    /// The states of [`Token::Anything`].
    anything: u64,
    /// The last state.
    last: u64,
}

impl Block {
    const LEN: usize = 64;

    fn new(tokens: impl Iterator<Item = Token>) -> Self {
        let mut block = Self { literal: [0; 256], in_segment: 0, anything: 0, last: 0 };
        let mut state = 1;
        for token in tokens {
            match token {
                Token::Byte(byte) => block.literal[usize::from(byte)] |= state,
                Token::InSegment => block.in_segment |= state,
                Token::Anything => block.anything |= state,
            }
            block.last = state;
            state <<= 1;
        }
        block
    }

    /// Replaces the starts of the path that match the tokens before this block by those that also match the block.
    ///
    /// `matched` contains, for each length of a start, whether it matches.
    fn extend_matches(&self, path: &[u8], matched: &mut [bool]) {
        let Some((no_bytes, matched)) = matched.split_first_mut() else { return };
        let mut is_entered = *no_bytes;
        let mut states = self.skip_anything(0, is_entered);
        *no_bytes = states & self.last != 0;
        for (&byte, matched) in path.iter().zip(matched) {
            count_step();
            let wildcards = if byte == b'/' { self.anything } else { self.anything | self.in_segment };
            let next = successors(states, is_entered) & (self.literal[usize::from(byte)] | wildcards);
            is_entered = *matched;
            states = self.skip_anything(next | (states & wildcards), is_entered);
            *matched = states & self.last != 0;
        }
    }

    /// Adds the states of [`Token::Anything`] that are reached without a byte.
    fn skip_anything(&self, states: u64, is_entered: bool) -> u64 {
        states | (successors(states, is_entered) & self.anything)
    }
}

/// Returns the states that follow these, and the first one if the block is entered.
fn successors(states: u64, is_entered: bool) -> u64 {
    states << 1 | u64::from(is_entered)
}

/// Counts the bytes that are read of paths and names, in tests.
fn count_step() {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + 1);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// How many bytes were read in this thread.
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// Returns whether the pattern matches, and how many bytes were read for it.
    fn count_steps(pattern: &str, path: &str) -> (bool, usize) {
        STEPS.set(0);
        (matches(pattern, path), STEPS.get())
    }

    /// Tries every way to split the path.
    fn matches_naively(pattern: &[u8], path: &[u8]) -> bool {
        let matches_after = |pattern: &[u8], shortest: usize, is_any: bool| {
            (shortest..=path.len())
                .take_while(|&len| is_any || !path[..len].contains(&b'/'))
                .any(|len| matches_naively(pattern, &path[len..]))
        };
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', pattern @ ..] => matches_after(pattern, 0, true),
            [b'*', pattern @ ..] => matches_after(pattern, 1, false),
            [b'{', pattern @ ..] if pattern.contains(&b'}') => {
                let end = pattern.iter().position(|&byte| byte == b'}').unwrap();
                matches_after(&pattern[end + 1..], 1, false)
            }
            [literal, pattern @ ..] => path
                .split_first()
                .is_some_and(|(byte, path)| byte == literal && matches_naively(pattern, path)),
        }
    }

    #[test]
    fn wildcards_match_within_a_segment_or_across_segments() {
        for (pattern, matching, others) in [
            (
                "/v2/servers",
                &["/v2/servers"][..],
                &["/v2/servers/", "/v2/server", "/V2/servers", "/x/v2/servers"][..],
            ),
            ("/v2/*", &["/v2/a", "/v2/.."], &["/v2/", "/v2/a/b", "/v2"]),
            ("/v2/{id}", &["/v2/a"], &["/v2/", "/v2/a/b", "/v2/a/"]),
            ("/v2/{}", &["/v2/a"], &["/v2/"]),
            ("/v2/{a/b}", &["/v2/x"], &["/v2/a/b", "/v2/x/y"]),
            ("/v2/{a*}/c", &["/v2/x/c"], &["/v2/x/y/c"]),
            ("/v2/{a}{b}", &["/v2/xy", "/v2/xyz"], &["/v2/x"]),
            ("/v2/*/b", &["/v2/a/b"], &["/v2//b", "/v2/a/c/b"]),
            ("/v2/*vers", &["/v2/servers"], &["/v2/vers", "/v2/a/vers"]),
            ("/v2/**", &["/v2/", "/v2/a", "/v2/a/b/"], &["/v2"]),
            ("/v2**", &["/v2", "/v2/a"], &["/v"]),
            ("**", &["", "/", "/a/b"], &[]),
            ("/**/b", &["//b", "/a/b", "/a/c/b"], &["/b", "/a/bc"]),
            ("/v2/***", &["/v2/a", "/v2/a/b"], &["/v2/", "/v2/a/"]),
            ("/****", &["/", "/a/b"], &[""]),
            ("/*****", &["/a", "/a/b"], &["/", "/a/"]),
            ("", &[""], &["/"]),
        ] {
            for path in matching {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
            for path in others {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn other_characters_match_only_themselves() {
        for literal in [
            "/v2.1", "/a+", "/a?", "/(a|b)", "/[a-z]", r"/\d", "/^a$", "/a{2", "/a}", "/{{", "/%41",
            "/\u{e9}",
        ] {
            assert!(matches(literal, literal), "{literal}");
            for path in ["/v2x1", "/aa", "/", "/a", "/b", "/5", "/A", "/a2"] {
                assert!(!matches(literal, path), "{literal} {path}");
            }
        }
    }

    #[test]
    fn the_path_is_read_once_for_each_64_tokens() {
        let path = "a".repeat(60_000);
        for (pattern, tokens) in [
            ("*a*a*a*a*b".to_owned(), 10),
            ("**a**a**a**b".to_owned(), 8),
            ("{x}{x}{x}{x}b".to_owned(), 5),
            ("**/*/**/*b".to_owned(), 7),
            ("*a".repeat(511) + "*b", 1_024),
            ("**a".repeat(512) + "b", 1_025),
            ("{x}".repeat(1_000) + "b", 1_001),
            ("*".repeat(100_000) + "b", 2),
            ("**".repeat(50_000) + "*" + &"a".repeat(640), 642),
            ("*".to_owned() + &"{".repeat(1_000), 1_001),
        ] {
            let (is_match, steps) = count_steps(&pattern, &path);
            assert_eq!(is_match, pattern.ends_with('a'), "{pattern:.20}");
            let least = path.len() * usize::div_ceil(tokens, 64);
            assert!((least..=least + pattern.len()).contains(&steps), "{pattern:.20} {steps}");
        }
        assert_eq!(count_steps(&"a".repeat(100_000), &path), (false, 0));
    }

    #[test]
    fn long_patterns_are_matched() {
        let pattern = "*/".repeat(1_000) + "**" + &"{".repeat(1_000);
        let path = "abc/".repeat(1_000) + "/x/y" + &"{".repeat(1_000);
        assert!(matches(&pattern, &path));
        assert!(!matches(&pattern, &path[..path.len() - 1]));
        assert!(matches(&format!("{{{}}}", "x".repeat(100_000)), "a"));
        assert!(!matches(&"*a".repeat(50_000), &"a".repeat(100)));
    }

    #[test]
    fn each_end_of_a_block_is_matched() {
        for len in 60..200 {
            for wildcard in ["*", "**", "{x}"] {
                let literal = "b".repeat(len);
                let pattern = format!("{{a}}{literal}{wildcard}c**/*");
                assert!(matches(&pattern, &format!("a{literal}xyc/d")), "{len} {wildcard}");
                assert_eq!(matches(&pattern, &format!("a{literal}c/d")), wildcard == "**", "{len}");
                assert_eq!(matches(&pattern, &format!("a{literal}x/c/d")), wildcard == "**", "{len}");
                assert!(!matches(&pattern, &format!("a{literal}xyc/")), "{len}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_pattern_matches_what_trying_all_ways_matches(
            pattern in "(\\*|\\*\\*|\\{[a/]?\\}|/|a|b|\\{){0,8}",
            path in "[ab/{}]{0,10}",
        ) {
            prop_assert_eq!(matches(&pattern, &path), matches_naively(pattern.as_bytes(), path.as_bytes()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn so_do_patterns_of_several_blocks(
            literal in 50_usize..140,
            parts in proptest::collection::vec("(\\*|\\*\\*|\\{x\\}|/|a|ab){1,3}", 2),
            path in "[ab/]{0,6}",
            end in "[ab/]{0,6}",
        ) {
            let literal = "a".repeat(literal);
            let pattern = format!("{}{literal}{}", parts[0], parts[1]);
            let path = format!("{path}{literal}{end}");
            prop_assert_eq!(matches(&pattern, &path), matches_naively(pattern.as_bytes(), path.as_bytes()));
        }
    }
}
