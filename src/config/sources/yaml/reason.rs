use saphyr_parser::ScanError;

const OPEN_BRACKET: &str = "the closing bracket is missing; quote the text if it begins with a bracket";

pub(super) const TOO_DEEP: &str = "lists and mappings are nested more than 64 deep";

/// Says in words of this crate what is wrong with the YAML.
///
/// The parser's own message is not passed on, because it can contain text of the file.
pub(super) fn for_scan_error(error: &ScanError) -> &'static str {
    const REASONS: [(&str, &str); 25] = [
        ("expected node content", "a text cannot begin with this character; quote the text"),
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
        ("quoted scalar, found unexpected end", "the closing quote of this text is missing"),
        (
            "in quoted scalar",
            "the closing quote may be missing; further lines of a quoted text must be indented more than the name",
        ),
        ("tab", "tabs are not allowed in the indentation; use spaces"),
        (
            "mapping values are not allowed",
            "`:` is not allowed here; check the indentation, or quote the text",
        ),
        ("':'", "`:` is misplaced; check the indentation, or quote the text"),
        ("'-'", "expected `- item`; check the indentation, or quote the text"),
        (
            "block sequence entries are not allowed",
            "`- item` is not allowed here; check the indentation, or quote the text",
        ),
        (
            "mapping keys are not allowed",
            "`? name` is not allowed here; check the indentation, or quote the text",
        ),
        ("trailing content after double-quoted", "a quoted text is followed by more text"),
        ("expected ',' or", "`,` or the closing bracket is missing"),
        ("bracket", "a bracket is misplaced; quote the text if it begins with one"),
        ("key", "expected `name: value`; check the indentation"),
        ("indent", "the indentation is wrong; indent the lines inside brackets, too"),
        ("unprintable character", "there is a character that cannot be printed"),
        ("block scalar", "the text after `|` or `>` is malformed; check its indentation, or quote the text"),
    ];
    REASONS
        .iter()
        .find(|(message, _)| error.info().contains(message))
        .map_or("this is not valid YAML; check the indentation and the quotes", |(_, reason)| reason)
}

/// Returns the line and the column of the mistake that caused an error, both from 1, and what is wrong there.
///
/// `None` if the mistake is where the parser found it. `bracket` is the position of the open bracket, if it begins a
/// value in a line of its own.
pub(super) fn earlier_slip(
    error: &ScanError,
    text: &str,
    bracket: Option<(usize, usize)>,
) -> Option<(usize, usize, &'static str)> {
    let found_at = error.marker().line();
    if error.info().contains("simple key expect") {
        return name_without_value(text, found_at);
    }
    let (line, column) = bracket.filter(|(line, _)| *line < found_at)?;
    let has = |part: &str| error.info().contains(part);
    // Lines inside brackets that are not indented are another slip.
    let is_open = has("flow") || has("illegal placement of ':'") || (has("indent") && !is_closed(text, line));
    is_open.then_some((line, column, OPEN_BRACKET))
}

/// Returns whether a closing bracket stands in a line after this one.
fn is_closed(text: &str, line: usize) -> bool {
    text.lines().skip(line).any(|line| line.contains(['}', ']']))
}

/// Returns the last line before this one if it is a text without a value: its colon is missing, or not followed by a
/// blank. A text of several lines counts from its first line.
fn name_without_value(text: &str, before: usize) -> Option<(usize, usize, &'static str)> {
    let lines: Vec<_> = text.lines().take(before.saturating_sub(1)).enumerate().collect();
    let mut contents = lines.into_iter().rev().filter_map(|(index, line)| {
        let content = line.trim();
        let indentation = line.len() - line.trim_start().len();
        (!content.is_empty() && !content.starts_with('#')).then_some((index + 1, indentation, content))
    });
    let has_value = |content: &str| content.contains(": ") || content.ends_with(':');
    let mut slip = contents.next().filter(|(_, _, content)| !has_value(content))?;
    for (line, indentation, content) in contents {
        if indentation >= slip.1 || has_value(content) {
            break;
        }
        slip = (line, indentation, content);
    }
    let (line, indentation, content) = slip;
    let reason = match content.contains(':') {
        true => "a blank must follow the colon of `name: value`",
        false => "the colon of `name: value` is missing",
    };
    Some((line, indentation + 1, reason))
}
