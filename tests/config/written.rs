//! What is written in the files and variables of a case.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Case, input::File};

/// Returns the texts of the files.
pub(crate) fn texts(case: &Case) -> impl Iterator<Item = &str> {
    case.files.values().filter_map(File::text)
}

/// Changes the texts of all files, and returns whether one is different then.
pub(crate) fn change_files(case: &mut Case, change: impl Fn(&str) -> String) -> bool {
    let mut has_changed = false;
    for file in case.files.values_mut() {
        if let File::Text(text) = file {
            let changed = change(text);
            has_changed |= changed != *text;
            *text = changed;
        }
    }
    has_changed
}

/// Removes the members with these names, each on its own line.
pub(crate) fn without_members(text: &str, names: &[String]) -> String {
    let is_kept = |line: &&str| {
        let member = line.trim_start().split_once(": ").map(|(name, _)| name);
        member.is_none_or(|name| !names.iter().any(|removed| removed == name))
    };
    text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// Returns what is written at a location: the rest of a line in a file without the name of a member, or the value of a
/// variable.
pub(crate) fn at<'a>(case: &'a Case, location: &Value) -> Option<&'a str> {
    if let Some(name) = location.as_str()?.strip_prefix("the variable ") {
        return case.env.get(name).map(String::as_str);
    }
    let line = line_at(case, location)?;
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    Some(value.trim_matches(['\'', '"']))
}

/// Returns the rest of a line in a file from a location on.
pub(crate) fn line_at<'a>(case: &'a Case, location: &Value) -> Option<&'a str> {
    let mut parts = location.as_str()?.rsplitn(3, ':');
    let (column, line, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (column, line): (usize, usize) = (column.parse().ok()?, line.parse().ok()?);
    // The end of a file is on the next line, also if the last line does not end.
    let line = case.files.get(path)?.text()?.split('\n').chain([""]).nth(line.checked_sub(1)?)?;
    let (start, _) = line.char_indices().chain([(line.len(), ' ')]).nth(column.checked_sub(1)?)?;
    line.get(start..)
}

/// Returns whether a location is in the case, or is none.
pub(crate) fn has_place(case: &Case, location: &Value) -> bool {
    let is_outside = |text: &str| text.starts_with("the argument ") || text.starts_with("the profile ");
    location.as_str().is_none_or(is_outside) || at(case, location).is_some()
}

/// Returns the path of the file that a location names.
pub(crate) fn path(location: &Value) -> Option<&str> {
    location.as_str()?.rsplitn(3, ':').nth(2)
}

/// Returns a path that is absolute, or relative to the working directory. An empty one stays empty.
pub(crate) fn absolute(case: &Case, path: &str) -> Value {
    match path {
        "" => path.into(),
        path => json!(Path::new(case.working_directory()).join(path)),
    }
}

/// Returns the plain scalars that are members of block mappings.
pub(crate) fn plain_scalars(case: &Case) -> Vec<&str> {
    let members = texts(case).flat_map(str::lines).filter_map(|line| line.trim_start().split_once(": "));
    let scalars = members.map(|(_, scalar)| scalar);
    scalars.filter(|scalar| !scalar.starts_with(['"', '\'', '[', '{', '&', '*', '!', '|', '>'])).collect()
}

/// Returns the URL of Keystone as it is sent, if a file or a variable contains it.
pub(crate) fn auth_url(case: &Case) -> Option<String> {
    let in_file = |line: &str| line.trim_start().strip_prefix("auth_url: ").map(str::to_owned);
    let written = case.env.get("OS_AUTH_URL").cloned();
    let url = written.or_else(|| texts(case).flat_map(str::lines).find_map(in_file))?;
    Some(url.parse::<http::Uri>().ok()?.to_string())
}

/// Returns a setting that is a quoted text in a file, or the value of a variable.
pub(crate) fn setting<'a>(case: &'a Case, name: &str) -> Option<&'a str> {
    let quoted = |line: &'a str| {
        let text = line.trim_start().strip_prefix(name)?.strip_prefix(": ")?;
        text.strip_prefix('\'')?.strip_suffix('\'')
    };
    let variable = case.env.get(&format!("OS_{}", name.to_ascii_uppercase()));
    texts(case).flat_map(str::lines).find_map(quoted).or(variable.map(String::as_str))
}

/// Removes the quotes of these settings in files.
pub(crate) fn unquote(case: &mut Case, names: &[&str]) -> bool {
    let unquoted = |line: &str| match line.trim_start().split_once(": ") {
        Some((name, text)) if names.contains(&name) => line.replace(text, text.trim_matches('\'')),
        _ => line.to_owned(),
    };
    change_files(case, |text| text.lines().map(|line| unquoted(line) + "\n").collect())
}

/// Returns whether YAML 1.1 has a date for a plain scalar.
pub(crate) fn is_date(scalar: &str) -> bool {
    scalar.len() == 10
        && scalar.split('-').map(|part| part.parse().unwrap_or(0)).all(|number: u32| number > 0)
}

/// Returns what YAML 1.1 and then Python make of a plain scalar, if it is a boolean or a number.
pub(crate) fn converted(scalar: &str) -> Option<Value> {
    match &*scalar.to_ascii_lowercase() {
        "yes" | "on" | "true" => return Some(true.into()),
        "no" | "off" | "false" => return Some(false.into()),
        ".nan" => return Some("nan".into()),
        _ => {}
    }
    let digits = scalar.replace('_', "");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, &*digits),
    };
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    let number = match digits.as_bytes() {
        [b'0', b'x', ..] => radix(&digits[2..], 16),
        [b'0', b'b', ..] => radix(&digits[2..], 2),
        [b'0', _, ..] => radix(digits, 8),
        // Groups of sixty, as in `12:30:45`.
        _ => {
            let groups = digits.split(':').map(|group| group.parse::<i64>().ok());
            groups.reduce(|number, group| Some(number? * 60 + group?)).flatten()
        }
    };
    let float =
        || Some(format!("{:?}", scalar.contains('.').then(|| scalar.parse::<f64>().ok()).flatten()?).into());
    number.map(|number| (sign * number).to_string().into()).or_else(float)
}
