use saphyr_parser::ScanError;

pub(super) const TOO_DEEP: &str = "lists and mappings are nested more than 64 deep";

/// Says in words of this crate what is wrong with the YAML.
///
/// The parser's own message is not passed on, because it can contain text of the file.
pub(super) fn for_scan_error(error: &ScanError) -> &'static str {
    const REASONS: [(&str, &str); 24] = [
        ("unexpected character", "a text cannot begin with this character; quote the text"),
        ("recursion limit", TOO_DEEP),
        ("unknown anchor", "no anchor of this name stands before; quote the text if it begins with `*`"),
        ("anchor or alias", "the name of an anchor is missing; quote the text if it begins with `*` or `&`"),
        ("handle wasn't declared", "this tag is not supported; quote the text if it begins with `!`"),
        ("a tag", "this tag is malformed; quote the text if it begins with `!`"),
        ("scalar, found a tab", "the lines of the text that begins here are indented with tabs; use spaces"),
        ("escape", "an escape sequence is malformed; write `\\\\` for a backslash, or use single quotes"),
        (
            "hexadecimal",
            "an escape sequence is malformed; write `\\\\` for a backslash, or use single quotes",
        ),
        ("quoted scalar, found unexpected end", "a quoted text is not closed"),
        ("in quoted scalar", "the lines of a quoted text must be indented more than the name of the member"),
        ("tab", "tabs are not allowed in the indentation; use spaces"),
        (
            "mapping values are not allowed",
            "`:` is not allowed here; check the indentation, or quote the text",
        ),
        ("':'", "`:` is misplaced; check the indentation, or quote the text"),
        ("'-'", "expected `- item`; check the indentation"),
        ("block sequence entries are not allowed", "`- item` is not allowed here; check the indentation"),
        ("mapping keys are not allowed", "`? name` is not allowed here; check the indentation"),
        ("trailing content after double-quoted", "a quoted text is followed by more text"),
        ("expected ',' or", "`,` or the closing bracket is missing"),
        ("bracket", "a bracket is misplaced; quote the text if it begins with one"),
        ("key", "expected `name: value`; check the indentation"),
        ("indent", "the indentation is wrong; indent the lines inside brackets, too"),
        ("unprintable character", "there is a character that cannot be printed"),
        ("block scalar", "the text of `|` or `>` is malformed; check its indentation"),
    ];
    REASONS
        .iter()
        .find(|(message, _)| error.info().contains(message))
        .map_or("this is not valid YAML; check the indentation and the quotes", |(_, reason)| reason)
}
