use saphyr_parser::Tag;

use crate::{
    Secret,
    config::value::{Data, is_null},
};

const UNKNOWN: &str = "this tag is not supported; quote the text if it begins with `!`";

/// Returns the scalar with these characters, this style and this tag.
///
/// A boolean or a number keeps its characters: the setting that reads it checks them.
///
/// # Errors
///
/// Returns the reason if the tag is unknown, or is not a tag of scalars.
pub(super) fn scalar(text: Secret, plain: bool, tag: Option<&Tag>) -> Result<Data, &'static str> {
    let tag = tag.map(name).transpose()?;
    match tag {
        None if plain && is_null(text.expose()) => Ok(Data::Null),
        None => Ok(Data::Scalar(text)),
        Some("null") if is_null(text.expose()) => Ok(Data::Null),
        Some("null") => Err("a value with the tag `!!null` must be empty or `null`"),
        Some("str" | "!" | "bool" | "int" | "float" | "timestamp") => Ok(Data::Scalar(text)),
        Some("seq") => Err("a value with the tag `!!seq` must be a list"),
        Some("map") => Err("a value with the tag `!!map` must be a mapping"),
        Some(_) => Err(UNKNOWN),
    }
}

/// Checks the tag of a list (`seq`) or a mapping (`map`).
pub(super) fn check_collection(expected: &str, tag: Option<&Tag>) -> Result<(), &'static str> {
    match tag.map(name).transpose()? {
        None | Some("!") => Ok(()),
        Some(tag) if tag == expected => Ok(()),
        Some("str" | "null" | "bool" | "int" | "float" | "timestamp") => {
            Err("a list or a mapping has the tag of a text or a number")
        }
        Some("seq" | "map") => Err("a list has the tag of a mapping, or the reverse"),
        Some(_) => Err(UNKNOWN),
    }
}

/// Returns the name of a tag of YAML itself, such as `str` for `!!str`, and `!` for the tag `!`.
fn name(tag: &Tag) -> Result<&str, &'static str> {
    const YAML: &str = "tag:yaml.org,2002:";
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("", "!") => Ok("!"),
        (YAML, suffix) => Ok(suffix),
        ("", verbatim) => verbatim.strip_prefix(YAML).ok_or(UNKNOWN),
        _ => Err(UNKNOWN),
    }
}
