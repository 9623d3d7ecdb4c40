use super::*;

const SP: &str = r#"<?xml version="1.0"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
<soap:Header><p:Request xmlns:p="urn:liberty:paos:2003-08" responseConsumerURL="https://sp.example.com/acs?a=1&amp;b=2"
 service="urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"/><e:RelayState
 xmlns:e="urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp">ss:mem:&lt;1&gt; &amp; "2"</e:RelayState></soap:Header>
<soap:Body><q:AuthnRequest xmlns:q="urn:oasis:names:tc:SAML:2.0:protocol"  ID='_1' /></soap:Body></soap:Envelope>
"#;

const IDP: &str = r#"<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header  ><x:Response
 xmlns:x="urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp" AssertionConsumerServiceURL="https://sp.example.com/acs?a=1&#38;b=2"
 ></x:Response><!-- other --></Header><Body> <r xmlns="" a = 'x'  >&#233;	signed&#13;</r > </Body></Envelope>"#;

fn read(text: &str) -> AssertionRequest {
    AssertionRequest::read(text.as_bytes()).unwrap()
}

fn error(sp: &str, idp: &str) -> Invalid {
    match AssertionRequest::read(sp.as_bytes()) {
        Err(invalid) => invalid,
        Ok(request) => request.answer(idp.as_bytes()).unwrap_err(),
    }
}

#[test]
fn the_request_of_a_service_provider_is_sent_without_its_header() {
    let request = read(SP);
    assert_eq!(request.consumer_url, "https://sp.example.com/acs?a=1&b=2");
    let (start, rest) = SP.split_once("<soap:Header>").unwrap();
    let (_, end) = rest.split_once("</soap:Header>").unwrap();
    assert_eq!(request.envelope, format!("{start}{end}"));
}

#[test]
fn the_relay_state_replaces_the_response_and_the_rest_stays_byte_for_byte() {
    let Assertion::For(sent) = read(SP).answer(IDP.as_bytes()).unwrap() else { panic!("another URL") };
    let sent = str::from_utf8(&sent).unwrap();
    let (start, rest) = IDP.split_once("<x:Response").unwrap();
    let (_, end) = rest.split_once("</x:Response>").unwrap();
    let element = sent.strip_prefix(start).unwrap().strip_suffix(end).unwrap();
    assert!(element.ends_with(">ss:mem:&lt;1&gt; &amp; \"2\"</ecp:RelayState>"), "{element}");

    let document = Document::parse(sent).unwrap();
    let state = document.descendants().find(|node| node.has_tag_name((ECP, "RelayState"))).unwrap();
    assert_eq!(state.text(), Some("ss:mem:<1> & \"2\""));
    assert_eq!(state.attribute((SOAP, "mustUnderstand")), Some("1"));
    assert_eq!(state.attribute((SOAP, "actor")), Some("http://schemas.xmlsoap.org/soap/actor/next"));
}

#[test]
fn a_byte_order_mark_stays() {
    let request = read(&format!("\u{feff}{SP}"));
    assert!(request.envelope.starts_with("\u{feff}<?xml".as_bytes()));
    let Assertion::For(sent) = request.answer(format!("\u{feff}{IDP}").as_bytes()).unwrap() else {
        panic!("another URL")
    };
    assert!(sent.starts_with("\u{feff}<Envelope".as_bytes()) && sent.ends_with(b"</Body></Envelope>"));
}

#[test]
fn every_relay_state_arrives_as_it_is() {
    for state in ["", " a ", "]]>", "a\r\nb\tc", "'\"&amp;", "\u{e9}\u{10ffff}"] {
        let element = relay_state(state);
        let document = Document::parse(&element).unwrap();
        assert_eq!(document.root_element().text().unwrap_or_default(), state, "{element}");
    }
}

#[test]
fn a_service_provider_may_have_no_relay_state() {
    let (start, rest) = SP.split_once("<e:RelayState").unwrap();
    let (_, end) = rest.split_once("</e:RelayState>").unwrap();
    let Assertion::For(sent) = read(&format!("{start}{end}")).answer(IDP.as_bytes()).unwrap() else {
        panic!("another URL")
    };
    assert!(!str::from_utf8(&sent).unwrap().contains("RelayState"));
}

#[test]
fn an_assertion_for_another_url_is_not_sent() {
    for url in [
        "https://evil.example.com/acs",
        "https://sp.example.com/acs",
        "https://sp.example.com/acs?a=1&#38;b=3",
    ] {
        let idp = IDP.replace("https://sp.example.com/acs?a=1&#38;b=2", url);
        assert_eq!(read(SP).answer(idp.as_bytes()).unwrap(), Assertion::ForAnotherUrl, "{url}");
    }
}

#[test]
fn envelopes_that_are_not_by_the_profile_are_errors() {
    for (sp, expected) in [
        ("", "not XML"),
        ("<html>", "not XML"),
        ("<html/>", "not an envelope"),
        (&SP.replace("soap/envelope/", "soap/other/"), "not an envelope"),
        (&SP.replace("soap:Body", "soap:Bodies"), "no body"),
        (&SP.replace("soap:Header", "soap:Head"), "no header"),
        (&SP.replace("p:Request", "p:Other"), "no paos:Request"),
        (&SP.replace("responseConsumerURL", "other"), "no responseConsumerURL"),
        (&SP.replace("https://sp.example.com/", "a b"), "not a URL"),
        (&SP.replace("ss:mem:", "<a/>"), "not a text"),
        (&SP.replace("</soap:Header>", "</soap:Header><soap:Header/>"), "twice"),
        (&SP.replace("?>", "?><!DOCTYPE a [<!ENTITY b 'c'>]>"), "document type"),
        (&SP.replace("?>", "?><!DOCTYPE a>"), "document type"),
        (&SP.replace("&lt;1", "&b;"), "not XML"),
    ] {
        assert!(error(sp, IDP).contains(expected), "{}: {sp}", error(sp, IDP));
    }
    for (idp, expected) in [
        ("{}", "not XML"),
        (&IDP.replace("x:Response", "x:Request"), "no ecp:Response"),
        (&IDP.replace("AssertionConsumerServiceURL", "other"), "no AssertionConsumerServiceURL"),
        (&IDP.replace(" a =", " a='1' a ="), "not XML"),
        (&IDP.replace("SSO:ecp", "SSO:browser"), "no ecp:Response"),
    ] {
        assert!(error(SP, idp).contains(expected), "{}: {idp}", error(SP, idp));
    }
    assert!(AssertionRequest::read(b"<\xff/>").unwrap_err().contains("UTF-8"));
}

#[test]
fn large_and_deep_envelopes_are_refused() {
    let with_body = |body: &str| SP.replace("<soap:Body>", &format!("<soap:Body>{body}"));
    assert!(
        AssertionRequest::read(with_body(&"<a>".repeat(10_000)).as_bytes()).unwrap_err().contains("not XML")
    );
    let deep = format!("{}{}", "<a>".repeat(40_000), "</a>".repeat(40_000));
    assert!(error(&with_body(&deep), IDP).contains("too many elements"));
    let long = "x".repeat(MAX_ENVELOPE);
    assert!(error(&with_body(&long), IDP).contains("1 MiB"));
    let attributes: String = (0..MAX_ATTRIBUTES).map(|index| format!(" a{index}=''")).collect();
    assert!(error(&with_body(&format!("<b{attributes}/>")), IDP).contains("too many attributes"));
    let nested: String = (0..=MAX_NAMESPACES).map(|index| format!("<a xmlns:a{index}='u'>")).collect();
    assert!(error(&with_body(&nested), IDP).contains("too many attributes"));
    // Many groups of a user are not too many.
    let groups = "<v xmlns:xs='http://www.w3.org/2001/XMLSchema'>group</v>".repeat(1_000);
    assert!(AssertionRequest::read(with_body(&groups).as_bytes()).is_ok());
}
