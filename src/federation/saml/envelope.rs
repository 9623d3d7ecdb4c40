//! The envelopes of SOAP that a login carries between a service provider and an identity provider.
//!
//! The body of an envelope is signed, so no envelope is written anew: headers are cut out of its text, and put into it.

use std::ops::Range;

use bytes::Bytes;
use http::Uri;
use roxmltree::{Document, Node, ParsingOptions};
use zeroize::Zeroizing;

use crate::federation::service_provider::MAX_ENVELOPE;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const PAOS: &str = "urn:liberty:paos:2003-08";
const ECP: &str = "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp";

/// Maximum number of nodes of an envelope.
const MAX_NODES: u32 = 32_768;

/// Maximum number of attributes of an envelope.
const MAX_ATTRIBUTES: usize = 16_384;

/// Maximum number of declarations of a namespace prefix. Each element is compared with those that it inherits.
const MAX_NAMESPACES: usize = 1_024;

/// The request of a service provider for an assertion.
#[cfg_attr(test, derive(Debug))]
pub(super) struct AssertionRequest {
    /// The envelope without its header, for the identity provider.
    pub(super) envelope: Bytes,
    /// The URL that the assertion is for: `responseConsumerURL`.
    pub(super) consumer_url: Uri,
    consumer_text: Box<str>,
    relay_state: Option<Box<str>>,
}

/// The envelope of an identity provider, with the header for the service provider.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(super) enum Assertion {
    /// Send this envelope to the service provider.
    For(Bytes),
    /// It is for another URL than that of the service provider. Send no assertion.
    ForAnotherUrl,
}

/// What is wrong with an envelope.
pub(super) type Invalid = &'static str;

impl AssertionRequest {
    /// Reads the envelope of a service provider.
    pub(super) fn read(envelope: &[u8]) -> Result<Self, Invalid> {
        let text = text(envelope)?;
        let document = parse(text)?;
        let header = header(&document)?;
        let request = only(header, PAOS, "Request")?.ok_or("the response has no paos:Request")?;
        let consumer_text =
            request.attribute("responseConsumerURL").ok_or("the paos:Request has no responseConsumerURL")?;
        let consumer_url = consumer_text.parse().map_err(|_| "the responseConsumerURL is not a URL")?;
        let relay_state = only(header, ECP, "RelayState")?.map(text_of).transpose()?;
        let envelope = spliced(text, header.range(), "").ok_or(NOT_IN_ITS_TEXT)?;
        Ok(Self { envelope, consumer_url, consumer_text: consumer_text.into(), relay_state })
    }

    /// Reads the envelope of an identity provider, and puts the state of the service provider in the place of
    /// `ecp:Response`. Everything else stays as it is, byte for byte.
    pub(super) fn answer(&self, envelope: &[u8]) -> Result<Assertion, Invalid> {
        let text = text(envelope)?;
        let document = parse(text)?;
        let header = header(&document)?;
        let response = only(header, ECP, "Response")?.ok_or(NO_RESPONSE)?;
        let url = response
            .attribute("AssertionConsumerServiceURL")
            .ok_or("the ecp:Response has no AssertionConsumerServiceURL")?;
        if url != &*self.consumer_text {
            return Ok(Assertion::ForAnotherUrl);
        }
        let relay_state = self.relay_state.as_deref().map(relay_state).unwrap_or_default();
        let envelope = spliced(text, response.range(), &relay_state).ok_or(NOT_IN_ITS_TEXT)?;
        Ok(Assertion::For(envelope))
    }
}

const NO_RESPONSE: Invalid = "the response has no ecp:Response, so the login has failed there; see the log of the \
                              identity provider";
const NOT_IN_ITS_TEXT: Invalid = "the header of the response is not in its text";

/// Returns the fault that tells a service provider that no assertion comes.
pub(super) fn fault() -> Bytes {
    Bytes::from_static(
        b"<S:Envelope xmlns:S=\"http://schemas.xmlsoap.org/soap/envelope/\"><S:Body><S:Fault>\
          <faultcode>S:Server</faultcode><faultstring>responseConsumerURL and AssertionConsumerServiceURL differ\
          </faultstring></S:Fault></S:Body></S:Envelope>",
    )
}

/// Returns the element with the state of the service provider. It declares its prefixes itself.
fn relay_state(state: &str) -> String {
    let mut element = format!(
        "<ecp:RelayState xmlns:ecp=\"{ECP}\" xmlns:S=\"{SOAP}\" S:mustUnderstand=\"1\" \
         S:actor=\"http://schemas.xmlsoap.org/soap/actor/next\">"
    );
    for character in state.chars() {
        match character {
            '&' => element.push_str("&amp;"),
            '<' => element.push_str("&lt;"),
            '>' => element.push_str("&gt;"),
            // A parser reads a carriage return as a line feed. The envelope may have another encoding than UTF-8.
            '\r' | '\u{80}'.. => element.push_str(&format!("&#{};", u32::from(character))),
            other => element.push(other),
        }
    }
    element.push_str("</ecp:RelayState>");
    element
}

/// Returns the text of an envelope that is not too large to be parsed.
fn text(envelope: &[u8]) -> Result<&str, Invalid> {
    if envelope.len() > MAX_ENVELOPE {
        return Err("the response is longer than 1 MiB; check the URL and the server");
    }
    let text =
        str::from_utf8(envelope).map_err(|_| "the response is not UTF-8; check the URL and the server")?;
    if text.matches('=').count() > MAX_ATTRIBUTES || text.matches("xmlns").count() > MAX_NAMESPACES {
        return Err("the response has too many attributes");
    }
    Ok(text)
}

/// Parses an envelope. A document type declaration is an error.
fn parse(text: &str) -> Result<Document<'_>, Invalid> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => "the response has a document type declaration",
        roxmltree::Error::NodesLimitReached => "the response has too many elements",
        _ => "the response is not XML; check the URL and the server",
    })
}

/// Returns the header of an envelope that also has a body.
fn header<'a, 'input>(document: &'a Document<'input>) -> Result<Node<'a, 'input>, Invalid> {
    let envelope = document.root_element();
    if !envelope.has_tag_name((SOAP, "Envelope")) {
        return Err("the response is not an envelope of SOAP 1.1; check the URL and the server");
    }
    only(envelope, SOAP, "Body")?.ok_or("the response has no body of SOAP")?;
    only(envelope, SOAP, "Header")?.ok_or("the response has no header of SOAP")
}

/// Returns the child with this name, or an error if there are several.
fn only<'a, 'input>(
    parent: Node<'a, 'input>,
    namespace: &'static str,
    name: &'static str,
) -> Result<Option<Node<'a, 'input>>, Invalid> {
    let mut children = parent.children().filter(|child| child.has_tag_name((namespace, name)));
    match (children.next(), children.next()) {
        (child, None) => Ok(child),
        _ => Err("the response has an element of SOAP or of its header twice"),
    }
}

/// Returns the text of an element that has no other elements in it.
fn text_of(element: Node<'_, '_>) -> Result<Box<str>, Invalid> {
    if element.children().any(|child| child.is_element()) {
        return Err("the ecp:RelayState is not a text");
    }
    let texts = element.children().filter_map(|child| child.text().filter(|_| child.is_text()));
    Ok(texts.collect::<String>().into())
}

/// Returns a text with another text in place of a part. Its memory is wiped.
fn spliced(text: &str, part: Range<usize>, replacement: &str) -> Option<Bytes> {
    let (before, after) = (text.get(..part.start)?, text.get(part.end..)?);
    let mut spliced = Zeroizing::new(Vec::with_capacity(before.len() + replacement.len() + after.len()));
    for part in [before, replacement, after] {
        spliced.extend_from_slice(part.as_bytes());
    }
    Some(Bytes::from_owner(spliced))
}

#[cfg(test)]
mod tests;
