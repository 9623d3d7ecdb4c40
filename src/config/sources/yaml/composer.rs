use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{
    budget::{Budget, MAX_DEPTH, Size},
    reason,
    source::{Position, Source, error, warn_duplicate},
    tag,
};
use crate::{
    Secret,
    config::value::{Data, Mapping, Value},
    error::{ConfigError, ConfigLocation, escaped},
};

/// Reads one YAML document. An empty document is null.
pub(super) fn compose(source: &Source<'_>) -> Result<Value, ConfigError> {
    let mut parser = Parser::new_from_str(source.text);
    let mut composer =
        Composer { source, open: Vec::new(), anchors: HashMap::new(), budget: Budget::new(), document: None };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|failure| {
            match reason::earlier_slip(&failure, source.text, composer.open_bracket()) {
                Some((line, column, reason)) => error(&source.location(line, column), reason),
                None => error(&composer.location(failure.marker()), reason::for_scan_error(&failure)),
            }
        })?;
        composer.event(event, span)?;
    }
    let empty = Value { data: Data::Null, location: source.location_at(Position::START) };
    Ok(composer.document.unwrap_or(empty))
}

/// Builds values from the events of the parser.
struct Composer<'a> {
    source: &'a Source<'a>,
    /// The lists and mappings that have not ended yet, from the outermost on.
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    budget: Budget,
    document: Option<Value>,
}

/// A list or a mapping that has not ended yet.
struct Open {
    content: Content,
    location: ConfigLocation,
    /// 0 if it has no anchor.
    anchor: usize,
}

enum Content {
    Sequence(Vec<Value>),
    Mapping(OpenMapping),
}

/// A mapping that has not ended yet.
#[derive(Default)]
struct OpenMapping {
    members: Mapping,
    /// The members that `<<` adds. Those of the mapping itself take precedence.
    merged: Mapping,
    /// The name of the member whose value comes next.
    name: Option<Name>,
}

struct Name {
    text: Box<str>,
    location: ConfigLocation,
    /// Whether it is the merge key `<<`.
    merges: bool,
}

impl Composer<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ConfigError> {
        let location = self.location(&span.start);
        match event {
            Event::DocumentStart(_) if self.document.is_some() => {
                Err(error(&location, "a second document begins here; a file must contain one"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.scalar(Secret::new(text), plain, anchor, tag.as_deref(), location)
            }
            Event::Alias(anchor) => self.alias(anchor, location),
            Event::SequenceStart(anchor, tag) => {
                tag::check_collection("seq", tag.as_deref()).map_err(|reason| error(&location, reason))?;
                self.start(Content::Sequence(Vec::new()), anchor, location)
            }
            Event::MappingStart(anchor, tag) => {
                tag::check_collection("map", tag.as_deref()).map_err(|reason| error(&location, reason))?;
                self.start(Content::Mapping(OpenMapping::default()), anchor, location)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Secret,
        plain: bool,
        anchor: usize,
        tag: Option<&Tag>,
        location: ConfigLocation,
    ) -> Result<(), ConfigError> {
        self.take(Size::of_text(text.expose()), &location)?;
        if anchor > 0 && plain && tag.is_none() && text.expose().is_empty() {
            self.warn_empty_anchor();
        }
        let name = self.expects_name().then(|| Name {
            text: text.expose().into(),
            location: location.clone(),
            merges: plain && tag.is_none() && text.expose() == "<<",
        });
        let data = tag::scalar(text, plain, tag).map_err(|reason| error(&location, reason))?;
        let value = Value { data, location };
        self.keep(anchor, &value)?;
        match name {
            Some(name) => {
                self.name(name);
                Ok(())
            }
            None => self.value(value),
        }
    }

    fn alias(&mut self, anchor: usize, location: ConfigLocation) -> Result<(), ConfigError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(error(&location, "an alias stands inside the value that it names"));
        };
        let size = Size::of(anchored);
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(error(&location, reason::TOO_DEEP));
        }
        self.budget.take(size).map_err(|reason| error(&location, reason))?;
        let data = anchored.data.clone();
        match data {
            Data::Scalar(text) if self.expects_name() => {
                self.name(Name { text: text.expose().into(), location, merges: false });
                Ok(())
            }
            data => self.value(Value { data, location }),
        }
    }

    /// Starts a list or a mapping.
    fn start(
        &mut self,
        content: Content,
        anchor: usize,
        location: ConfigLocation,
    ) -> Result<(), ConfigError> {
        if self.open.len() == MAX_DEPTH {
            return Err(error(&location, reason::TOO_DEEP));
        }
        if self.expects_name() {
            return Err(not_a_name(&location));
        }
        self.take(Size { nodes: 1, ..Size::default() }, &location)?;
        self.open.push(Open { content, location, anchor });
        Ok(())
    }

    /// Ends the innermost list or mapping.
    fn end(&mut self) -> Result<(), ConfigError> {
        let Some(Open { content, location, anchor }) = self.open.pop() else { return Ok(()) };
        let data = match content {
            Content::Sequence(items) => Data::Sequence(items),
            Content::Mapping(OpenMapping { members, merged, .. }) => {
                let mut all = merged;
                all.extend(members);
                Data::Mapping(all)
            }
        };
        let value = Value { data, location };
        self.keep(anchor, &value)?;
        self.value(value)
    }

    /// Keeps a copy of a value that has an anchor.
    fn keep(&mut self, anchor: usize, value: &Value) -> Result<(), ConfigError> {
        if anchor > 0 {
            self.take(Size::of(value), &value.location)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(())
    }

    /// Sets the name of the next member of the innermost mapping.
    fn name(&mut self, name: Name) {
        if let Some(Open { content: Content::Mapping(mapping), .. }) = self.open.last_mut() {
            mapping.name = Some(name);
        }
    }

    /// Adds a value to the innermost list or mapping.
    fn value(&mut self, mut value: Value) -> Result<(), ConfigError> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.document = Some(value),
            Some(Content::Sequence(items)) => items.push(value),
            Some(Content::Mapping(mapping)) => match mapping.name.take() {
                None => return Err(not_a_name(&value.location)),
                Some(Name { location, merges: true, .. }) => merge(&mut mapping.merged, value, &location)?,
                Some(Name { text, location, .. }) => {
                    value.location = location.clone();
                    if mapping.members.insert(&text, value).is_some() {
                        warn_duplicate(&location, &text);
                    }
                }
            },
        }
        Ok(())
    }

    /// Returns the line and the column of the innermost open bracket, if it is not within other brackets.
    fn open_bracket(&self) -> Option<(usize, usize)> {
        let mut brackets = self.open.iter().filter_map(|open| {
            let ConfigLocation::File { line, column, .. } = open.location else { return None };
            let character =
                self.source.text.lines().nth(line.checked_sub(1)?)?.chars().nth(column.checked_sub(1)?)?;
            matches!(character, '{' | '[').then_some((line, column))
        });
        brackets.next().filter(|_| brackets.next().is_none())
    }

    /// Logs that the next value of the innermost mapping is an anchor alone.
    fn warn_empty_anchor(&self) {
        if let Some(Open { content: Content::Mapping(OpenMapping { name: Some(name), .. }), .. }) =
            self.open.last()
        {
            let (location, name) = (&name.location, escaped(&name.text));
            tracing::warn!(
                "{location}: {name}: the value is empty, because `&` begins an anchor; quote it if it is a text"
            );
        }
    }

    /// Returns whether the next node is the name of a member.
    fn expects_name(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Mapping(mapping), .. }) if mapping.name.is_none())
    }

    fn take(&mut self, size: Size, location: &ConfigLocation) -> Result<(), ConfigError> {
        self.budget.take(size).map_err(|reason| error(location, reason))
    }

    fn location(&self, marker: &Marker) -> ConfigLocation {
        self.source.location(marker.line(), marker.col() + 1)
    }
}

/// Adds the members that `<<` names. Of several mappings in a list, the earlier takes precedence.
fn merge(merged: &mut Mapping, value: Value, location: &ConfigLocation) -> Result<(), ConfigError> {
    let mappings = match value.data {
        Data::Sequence(items) => items,
        data => vec![Value { data, location: value.location }],
    };
    for mapping in mappings.into_iter().rev() {
        let Data::Mapping(mapping) = mapping.data else {
            return Err(error(
                location,
                "`<<` takes a mapping or a list of mappings; quote it if it is a name",
            ));
        };
        merged.extend(mapping);
    }
    Ok(())
}

fn not_a_name(location: &ConfigLocation) -> ConfigError {
    error(location, "the name of a member must be a text; quote it if it begins with `{` or `[`")
}
