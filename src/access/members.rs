use super::borrowed_value::BorrowedValue;
use crate::{Secret, json};

/// The members of a token document that its properties are read from.
#[derive(Default)]
pub(super) struct Members<'a>(Vec<Member<'a>>);

struct Member<'a> {
    name: &'static str,
    text: &'a str,
    value: BorrowedValue<'a>,
}

impl<'a> Members<'a> {
    /// Adds a member, and replaces an earlier one with the same name.
    pub(super) fn insert(&mut self, name: &'static str, text: &'a str, value: BorrowedValue<'a>) {
        self.0.retain(|member| member.name != name);
        self.0.push(Member { name, text, value });
    }

    pub(super) fn value(&self, path: &[&str]) -> Option<&BorrowedValue<'a>> {
        let (first, rest) = path.split_first()?;
        let member = self.0.iter().find(|member| member.name == *first)?;
        rest.iter().try_fold(&member.value, |value, name| value.get(name))
    }

    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.value(path)?.as_text()
    }

    /// Returns the elements of a list. A value of another type has none.
    pub(super) fn list(&self, path: &[&str]) -> &[BorrowedValue<'a>] {
        self.value(path).map_or(&[], BorrowedValue::elements)
    }

    /// Returns the JSON text of a member.
    pub(super) fn json(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|member| member.name == name).map(|member| member.text)
    }

    /// Returns the JSON text of a member of a member.
    pub(super) fn inner_json(&self, outer: &str, name: &str) -> Option<&'a str> {
        let mut inner = None;
        let find = |member: &str, value: &'a serde_json::value::RawValue| {
            if member == name {
                inner = Some(value.get());
            }
        };
        json::for_each_member(self.json(outer)?, find).ok()?;
        inner
    }
}

/// Removes and returns the `id` of the `token` in a v2.0 document, which is the token itself.
pub(super) fn take_token(token: &mut BorrowedValue<'_>) -> Option<Secret> {
    match token.remove("id")? {
        BorrowedValue::Text(token) => Some(Secret::new(token)),
        _ => None,
    }
}
