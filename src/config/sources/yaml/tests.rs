use std::{fmt::Write, path::Path, sync::Arc};

use super::read;
use crate::{
    config::value::{Data, Value, is_null},
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

fn yaml(text: impl AsRef<[u8]>) -> Result<Value, ConfigError> {
    read(text.as_ref(), &Arc::from(Path::new("/clouds.yaml")))
}

fn json(text: impl AsRef<[u8]>) -> Result<Value, ConfigError> {
    read(text.as_ref(), &Arc::from(Path::new("/clouds.json")))
}

/// Writes a value in one line.
fn shown(value: &Value) -> String {
    match &value.data {
        Data::Null => "null".into(),
        Data::Scalar(text) => shown_text(text.expose()),
        Data::Sequence(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Data::Mapping(mapping) => {
            let members: Vec<_> =
                mapping.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Writes a text as it is, or in quotes if it looks like a null.
fn shown_text(text: &str) -> String {
    if is_null(text) { format!("{text:?}") } else { text.into() }
}

#[track_caller]
fn assert_reads(text: &str, expected: &str) {
    assert_eq!(yaml(text).map(|value| shown(&value)).as_deref(), Ok(expected), "{text:?}");
}

/// Checks the place and a part of the reason of a syntax error.
#[track_caller]
fn assert_fails(result: Result<Value, ConfigError>, place: &str, reason: &str) {
    let error = result.expect_err("the document is read");
    assert!(matches!(error.kind, ConfigErrorKind::Syntax { .. }), "{error:?}");
    let shown = error.to_string();
    let (_, rest) = shown.split_once(':').expect("a path");
    assert!(rest.starts_with(&format!("{place}: ")), "{shown} is not at {place}");
    assert!(shown.contains(reason), "{shown} does not contain {reason:?}");
}

fn place(value: &Value) -> (usize, usize) {
    match value.location {
        ConfigLocation::File { line, column, .. } => (line, column),
        _ => panic!("{:?}", value.location),
    }
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    match &value.data {
        Data::Mapping(mapping) => mapping.get(name).unwrap_or_else(|| panic!("no member {name}")),
        _ => panic!("{value:?} is not a mapping"),
    }
}

#[test]
fn a_scalar_keeps_the_characters_that_were_written() {
    for text in [
        "0123",
        "08",
        "00",
        "1e3",
        "1.0e+3",
        "1.10",
        "0x10",
        "0b11",
        "0o17",
        "1_000",
        "12:30:45",
        "2024-01-01",
        "yes",
        "no",
        "on",
        "Off",
        "y",
        "true",
        "False",
        ".inf",
        ".NaN",
        "-0",
        "10.0",
        "1E5",
        "1e400",
        "12345678901234567890123",
        "a#b",
        "1 2",
        "é",
        "=",
        "-x",
        "a:b",
        "nUll",
        "~x",
        "?x",
        "x!",
    ] {
        assert_reads(text, text);
        assert_reads(&format!("a: {text}"), &format!("{{a: {text}}}"));
        assert_reads(&format!("[{text}]"), &format!("[{text}]"));
    }
    for (text, expected) in [
        ("\"0123\"", "0123"),
        ("'yes'", "yes"),
        ("\"~\"", "~"),
        ("''", ""),
        ("'null'", "null"),
        ("'it''s'", "it's"),
        ("' lead'", " lead"),
        (r#""a\tb\x41\u00e9\U0001F600\/""#, "a\tbAé😀/"),
        ("|\n  null\n", "null\n"),
        (">-\n  folded\n  text", "folded text"),
        ("|-\n  yes\n", "yes"),
        ("!!str 0123", "0123"),
        ("!!str", ""),
        ("!!str null", "null"),
        ("! yes", "yes"),
        ("!<tag:yaml.org,2002:str> 5", "5"),
    ] {
        let expected = shown_text(expected);
        assert_reads(text, &expected);
        assert_reads(&format!("a: {text}"), &format!("{{a: {expected}}}"));
    }
}

#[test]
fn only_a_plain_null_is_null() {
    for text in ["", "~", "null", "Null", "NULL", "&a", "&a ~", "!!null", "!!null null", "!!null ''"] {
        assert_reads(&format!("a: {text}"), "{a: null}");
        assert_reads(&format!("- {text}"), "[null]");
    }
    for text in ["", "# only a comment\n", "---", "--- \n...\n", "\u{feff}", "\n\n"] {
        assert_reads(text, "null");
    }
    assert_eq!(place(&yaml("# nothing\n").unwrap()), (1, 1));
}

#[test]
fn tags_of_numbers_and_booleans_keep_the_characters() {
    assert_reads("a: !!int 0x10", "{a: 0x10}");
    assert_reads("a: !!int '5'", "{a: 5}");
    assert_reads("a: !!bool yes", "{a: yes}");
    assert_reads("a: !!float 1.10", "{a: 1.10}");
    assert_reads("!!map {a: !!seq [x]}", "{a: [x]}");
    assert_reads("%YAML 1.1\n%TAG !y! tag:yaml.org,2002:\n---\na: !y!str null", "{a: \"null\"}");
}

#[test]
fn other_tags_are_errors() {
    for text in
        ["!vault x", "!bang", "!!binary aGk=", "!!omap [a: b]", "!!set {a}", "!<x> y", "!!python/name:os x"]
    {
        assert_fails(yaml(format!("a:\n  b: {text}")), "2:6", "tag is not supported; quote the text");
    }
    assert_fails(yaml("a: !x!y z"), "1:4", "tag is not supported; quote the text");
    assert_fails(yaml("!x a: b"), "1:1", "tag is not supported; quote the text");
    assert_fails(yaml("a: !!null x"), "1:4", "must be empty or `null`");
    assert_fails(yaml("a: !!str [x]"), "1:4", "a list or a mapping has the tag of a text");
    assert_fails(yaml("a: !!seq {x: y}"), "1:4", "a list has the tag of a mapping");
    assert_fails(yaml("a: !!map x"), "1:4", "must be a mapping");
}

#[test]
fn names_of_members_are_the_characters_that_were_written() {
    assert_reads(
        "yes: a\n1: b\n~: c\n: d\n'x y': e\n\"\\u00e9\": f",
        "{yes: a, 1: b, ~: c, : d, x y: e, é: f}",
    );
    assert_reads("{\"a\":1, b : 2, c, ? d}", "{a: 1, b: 2, c: null, d: null}");
    assert_reads("- &n name\n- {*n : x}", "[name, {name: x}]");
    assert_reads("? a\n: b", "{a: b}");
    assert_reads("[a: b, c]", "[{a: b}, c]");
    for text in ["{a: b}: c", "[a]: c", "? {a: b}\n: c", "? - a\n: c", "{{ name }}: x", "{[x]}"] {
        let error = yaml(text).expect_err(text).to_string();
        assert!(error.contains("the name of a member must be a text"), "{text}: {error}");
    }
    assert_fails(yaml("a: &a {x: y}\nb:\n  *a : z"), "3:3", "the name of a member must be a text");
    assert_fails(yaml("password: {{ vault_password }}"), "1:12", "the name of a member must be a text");
}

#[test]
fn aliases_are_copies() {
    assert_reads("a: &x 0123\nb: *x\nc: &x 'q'\nd: *x", "{a: 0123, b: 0123, c: q, d: q}");
    assert_reads("a: &x {b: &y [1, 2]}\nc: *x\nd: *y", "{a: {b: [1, 2]}, c: {b: [1, 2]}, d: [1, 2]}");
    assert_reads("a: &x\nb: *x", "{a: null, b: null}");
    assert_fails(yaml("a: 1\nb: *x"), "2:4", "no anchor of this name");
    assert_fails(yaml("a: &x [*x]"), "1:8", "an alias stands inside the value that it names");
    assert_fails(yaml("password: *secret"), "1:11", "quote the text if it begins with `*`");
}

#[test]
fn merge_keys_add_the_members_that_are_not_there() {
    assert_reads("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3, z: 4}", "{a: {x: 1, y: 2}, b: {x: 1, y: 3, z: 4}}");
    assert_reads("a: &a {x: 1}\nb: {x: 3, <<: *a}", "{a: {x: 1}, b: {x: 3}}");
    assert_reads("b: {<<: {x: {y: 1}}, x: {z: 2}}", "{b: {x: {z: 2}}}");
    assert_reads("b: {<<: [{x: 1}, {x: 2, y: 2}]}", "{b: {x: 1, y: 2}}");
    assert_reads("b: {<<: {x: 1}, <<: {x: 2, y: 2}}", "{b: {x: 2, y: 2}}");
    assert_reads("b: {<<: {<<: {x: 1}, y: 2}}", "{b: {x: 1, y: 2}}");
    assert_reads("b: {<<: []}", "{b: {}}");
    assert_reads("b: {'<<': {x: 1}, c: <<}", "{b: {<<: {x: 1}, c: <<}}");
    assert_reads("- <<", "[<<]");
    for text in ["<<: x", "<<:", "<<: [x]", "<<: [[{x: 1}]]", "<<: [{x: 1}, ~]"] {
        assert_fails(yaml(format!("b:\n  {text}")), "2:3", "takes a mapping or a list of mappings");
    }
}

#[test]
fn of_a_member_that_occurs_twice_the_last_one_counts() {
    assert_reads("a: 1\nb: 2\na: 3", "{a: 3, b: 2}");
    assert_eq!(json(r#"{"a": 1, "b": 2, "a": 3}"#).map(|value| shown(&value)).as_deref(), Ok("{a: 3, b: 2}"));
}

#[test]
fn a_file_contains_one_document() {
    assert_reads("%YAML 1.2\n---\na: b\n...\n", "{a: b}");
    assert_reads("---\na: b\n# end", "{a: b}");
    assert_fails(yaml("a: b\n---\nc: d"), "2:1", "a second document begins here");
    assert_fails(yaml("a: b\n---\n"), "2:1", "a second document begins here");
    assert_fails(yaml("---\n---\n"), "2:1", "a second document begins here");
}

#[test]
fn a_member_stands_where_its_name_was_written() {
    let value = yaml("# comment\nclouds:\n  öne:\n    auth: {ü: 1, password:\n       x}\n    regions:\n    - R1\n    -   R2\n")
        .unwrap();
    let one = member(member(&value, "clouds"), "öne");
    assert_eq!(place(&value), (2, 1));
    assert_eq!(place(one), (3, 3));
    assert_eq!(place(member(one, "auth")), (4, 5));
    assert_eq!(place(member(member(one, "auth"), "ü")), (4, 12));
    assert_eq!(place(member(member(one, "auth"), "password")), (4, 18));
    let Data::Sequence(regions) = &member(one, "regions").data else { panic!("{one:?}") };
    assert_eq!(regions.iter().map(place).collect::<Vec<_>>(), [(7, 7), (8, 9)]);

    let value = yaml("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n").unwrap();
    assert_eq!(place(member(&value, "b")), (2, 1));
    assert_eq!(place(member(member(&value, "c"), "x")), (1, 8));
    assert_eq!(member(&value, "b").location.to_string(), "/clouds.yaml:2:1");
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    assert_reads("a:\r\n  b: c\r\n  d: 'e'\r\n", "{a: {b: c, d: e}}");
    assert_reads("\u{feff}a:\n  b: c\n", "{a: {b: c}}");
    let value = yaml("\u{feff}a: 1\r\nb: 2").unwrap();
    assert_eq!(place(member(&value, "a")), (1, 1));
    assert_eq!(place(member(&value, "b")), (2, 1));
}

#[test]
fn only_utf8_is_read() {
    assert_fails(yaml(b"a: \xc3\xb6\nb: \xc3\xb6\xff"), "2:5", "not in UTF-8");
    assert_fails(yaml(b"a: b\xe9"), "1:5", "not in UTF-8");
    assert_fails(yaml(b"\xff\xfea\0:\0"), "1:1", "the file is in UTF-16");
    assert_fails(yaml(b"\xfe\xff\0a\0:"), "1:1", "the file is in UTF-16");
    for (text, place) in [
        ("a: b\0c", "1:5"),
        ("a: \0", "1:4"),
        ("a: 'b\0c'", "1:6"),
        ("a: |\n  b\0c", "2:4"),
        ("# \0", "1:3"),
        ("\0", "1:1"),
        ("a: b\n\0\nc: d", "2:1"),
    ] {
        assert_fails(yaml(text), place, "a NUL character");
    }
}

#[test]
fn malformed_yaml_is_an_error_with_its_place() {
    for (text, place, reason) in [
        ("a:\n  b: @at", "2:6", "a text cannot begin with this character; quote the text"),
        ("a:\n  b: `x", "2:6", "a text cannot begin with this character; quote the text"),
        ("a:\n\tb: c", "2:2", "use spaces"),
        ("a: b\n\tc: d", "1:4", "the lines of the text that begins here are indented with tabs"),
        ("a: b: c", "1:5", "`:` is not allowed here"),
        ("a: 'b", "1:4", "the closing quote of this text is missing"),
        ("a: [b", "1:4", "closing bracket is missing"),
        ("a: {b: c", "1:4", "closing bracket is missing"),
        ("a: b]\nc: ]", "2:4", "a bracket is misplaced"),
        ("a: \"\\q\"", "1:4", "an escape sequence is malformed"),
        ("a: \"\\ud83d\\ude00\"", "1:4", "an escape sequence is malformed"),
        ("a:\n  b: c\n d: e", "3:2", "indentation"),
        ("a: b\nc", "2:1", "the colon of `name: value` is missing"),
        ("a: 'b' c", "1:8", "followed by more text"),
        ("- a\nb: c", "2:1", "expected `- item`"),
        ("a: [\nb\n]", "2:1", "indent the lines inside brackets, too"),
        ("a: 'b\nc'", "1:4", "further lines of a quoted text must be indented more"),
        ("a: *", "1:4", "the name of an anchor is missing"),
    ] {
        assert_fails(yaml(text), place, reason);
    }
}

#[test]
fn no_error_contains_text_of_the_file() {
    let secret = "hunter2";
    for text in [
        "@hunter2",
        "`hunter2",
        "%hunter2",
        "!hunter2",
        "!hunter2!x",
        "!<hunter2>",
        "*hunter2",
        "{hunter2}: x",
        "'hunter2",
        "\"\\hunter2\"",
        "[hunter2",
        "{{ hunter2 }}",
        "hunter2: x: y",
        "'hunter2' hunter2",
        "!!hunter2 x",
        "&hunter2 *hunter2",
        "!!null hunter2",
        "!!str [hunter2]",
        "hunter2\0",
        "\"\\uhunter2\"",
        "!hunter2%zz x",
        "|hunter2",
        "- hunter2\nhunter2",
    ] {
        for text in
            [text.to_owned(), format!("a: {text}"), format!("a:\n  - {text}"), format!("{text}\n---\nx")]
        {
            for error in [yaml(&text).err(), json(&text).err(), json(format!("{{\"a\": {text}}}")).err()] {
                let Some(error) = error else { continue };
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(secret), "{text:?}: {shown}");
            }
        }
    }
    let value = yaml("hunter: [hunter2, {x: hunter2}]").unwrap();
    assert!(!format!("{value:?}").contains(secret));
}

#[test]
fn size_and_depth_are_limited() {
    let text = format!("a: {}", "x".repeat((1 << 20) - 3));
    assert_eq!(text.len(), 1 << 20);
    yaml(&text).unwrap();
    assert_fails(yaml(format!("{text}x")), "1:1", "larger than 1 MiB");
    assert_fails(json(format!("{text}x")), "1:1", "larger than 1 MiB");

    yaml("[".repeat(64) + &"]".repeat(64)).unwrap();
    json("[".repeat(64) + &"]".repeat(64)).unwrap();
    assert_fails(yaml("[".repeat(65) + &"]".repeat(65)), "1:65", "more than 64 deep");
    assert_fails(json("[".repeat(65) + &"]".repeat(65)), "1:65", "more than 64 deep");
    assert_fails(yaml("[".repeat(3_000)), "1:256", "more than 64 deep");
    assert_fails(yaml("{a: ".repeat(200) + &"}".repeat(200)), "1:257", "more than 64 deep");
    assert_fails(json("{\"a\": ".repeat(3_000) + "1" + &"}".repeat(3_000)), "1:380", "more than 64 deep");
    let nested = (0..1_000).fold(String::new(), |mut text, depth| {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
        text
    });
    assert_fails(yaml(nested), "65:65", "more than 64 deep");
    assert_fails(yaml("- ".repeat(3_000)), "1:129", "more than 64 deep");
    assert_fails(yaml("? ".repeat(3_000)), "1:3", "the name of a member must be a text");
}

#[test]
fn aliases_are_limited() {
    // Depth 64 by aliases alone, and one more.
    let mut text = "a0: &a0 [x]\n".to_owned();
    for depth in 1..63 {
        writeln!(text, "a{depth}: &a{depth} [*a{}]", depth - 1).unwrap();
    }
    yaml(&text).unwrap();
    assert_fails(yaml(text + "a63: [*a62]"), "64:7", "more than 64 deep");

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let error = yaml(bomb).unwrap_err().to_string();
    assert!(error.contains("aliases count as copies"), "{error}");

    let mut bomb = "a0: &a0 {x: y}\n".to_owned();
    for level in 1..40 {
        writeln!(bomb, "a{level}: &a{level} {{b: *a{0}, c: {{<<: [*a{0}, *a{0}]}}}}", level - 1).unwrap();
    }
    let error = yaml(bomb).unwrap_err().to_string();
    assert!(error.contains("aliases count as copies"), "{error}");

    let large = format!("a: &a {}\nb: [*a, *a, *a, *a, *a, *a, *a, *a]", "x".repeat(600_000));
    assert_fails(yaml(large), "2:21", "too large values");
    assert_fails(yaml(format!("[{}]", "a,".repeat(200_000))), "1:200000", "too many");
    assert_fails(json(format!("[{}0]", "0,".repeat(200_000))), "1:200000", "too many");
}

#[test]
fn json_keeps_the_characters_that_were_written() {
    let text = "\u{feff}{\"a\": [1.10, 1e3, -0, true, false, null, \"\", \"\\ud83d\\ude00\\/\\u0000\\t\"],\n\t\"\\u00e9\" :{}, \"<<\":\"!x\"}";
    let value = json(text).unwrap();
    assert_eq!(shown(&value), "{a: [1.10, 1e3, -0, true, false, null, \"\", 😀/\0\t], é: {}, <<: !x}");
    assert_eq!(place(&value), (1, 1));
    assert_eq!(place(member(&value, "é")), (2, 2));
    let Data::Sequence(items) = &member(&value, "a").data else { panic!("{value:?}") };
    assert_eq!(items.iter().map(place).take(3).collect::<Vec<_>>(), [(1, 8), (1, 14), (1, 19)]);
    let long = "n".repeat(5_000);
    assert_eq!(shown(&json(format!("{{\"{long}\":1}}")).unwrap()), format!("{{{long}: 1}}"));
    assert_eq!(shown(&json("  \n").unwrap()), "null");
}

#[test]
fn malformed_json_is_an_error_with_its_place() {
    for (text, place, reason) in [
        ("clouds: {}", "1:1", "not valid JSON: expected value"),
        ("{\"a\": 1,\n \"b\": 'x'}", "2:7", "not valid JSON: expected value"),
        ("{\"ä\": x}", "1:7", "not valid JSON: expected value"),
        ("{\"a\": 1,}", "1:9", "not valid JSON: key must be a string"),
        ("{\"a\": 1} x", "1:10", "not valid JSON: trailing characters"),
        ("{\"a\": 1", "1:7", "the JSON text ends too early"),
        ("{\"a\": 01}", "1:8", "not valid JSON: invalid number"),
        ("{\"a\": \"\\ud83d\"}", "1:14", "not valid JSON"),
        ("{1: 2}", "1:2", "not valid JSON: key must be a string"),
        ("{\"a\":\n {\"b\": \"x\ty\"}}", "2:9", "not valid JSON: control character"),
        ("[NaN]", "1:2", "not valid JSON"),
    ] {
        assert_fails(json(text), place, reason);
    }
}

/// Returns a file whose line 6 is this one, and whose other lines are right.
fn with_line(line: &str) -> [String; 3] {
    let head = "clouds:\n  one:\n    auth:\n      auth_url: https://k\n      username: u\n";
    [
        "      project_name: p\n    region_name: R\n",
        "\n    # comment\n    verify: true\n  two:\n    auth: x\n",
        "",
    ]
    .map(|tail| format!("{head}      {line}\n{tail}"))
}

#[test]
fn a_slip_is_located_at_its_own_line() {
    for (line, place, reason) in [
        ("password:wonderland", "6:7", "a blank must follow the colon of `name: value`"),
        ("password wonderland", "6:7", "the colon of `name: value` is missing"),
        ("password", "6:7", "the colon of `name: value` is missing"),
        ("password:wonder\n        land", "6:7", "a blank must follow the colon"),
        ("password: \"wonderland", "6:17", "the closing quote"),
        ("password: 'wonderland", "6:17", "the closing quote"),
        (
            "password: {x",
            "6:17",
            "the closing bracket is missing; quote the text if it begins with a bracket",
        ),
        (
            "password: [x",
            "6:17",
            "the closing bracket is missing; quote the text if it begins with a bracket",
        ),
        ("password: *x", "6:17", "quote the text if it begins with `*`"),
        ("password: !x", "6:17", "quote the text if it begins with `!`"),
        ("password: %x", "6:17", "quote the text"),
        ("password: @x", "6:17", "quote the text"),
        ("password: `x", "6:17", "quote the text"),
        ("password: >x", "6:17", "quote the text"),
        ("password: |x", "6:17", "quote the text"),
        ("password: ,x", "6:17", "quote the text"),
        ("password: }x", "6:17", "quote the text"),
        ("password: ? x", "6:17", "quote the text"),
        ("password: - x", "6:17", "quote the text"),
    ] {
        for text in with_line(line) {
            assert_fails(yaml(&text), place, reason);
        }
    }
}

#[test]
fn an_error_within_brackets_is_located_where_it_is() {
    assert_fails(yaml("{\"a\": {\n  \"b\": 1,\n  \"c\": [1, 2\n}}"), "4:1", "the closing bracket is missing");
    assert_fails(yaml("a: {\n  b: c,\n  d: [x y\n}"), "4:1", "the closing bracket is missing");
    yaml("a: &x\n  b: c\nd: *x").unwrap();
    yaml("a: &x ''\nb: &y null\nc: &z\n  - d").unwrap();
}
