//! What a person does in a browser.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode};
use url::{Url, form_urlencoded};

use crate::support::{Answer, Client};

/// A browser with its cookies. It logs in where a page asks for it, and goes on where one asks for consent.
pub(crate) struct Browser {
    client: Client,
    /// Cookies are for all ports of a host.
    cookies: BTreeMap<String, String>,
    user: &'static str,
}

/// A page and its URL.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// Where the page redirects to.
    location: Option<String>,
}

/// The first form of a page.
pub(crate) struct Form {
    pub(crate) action: Url,
    pub(crate) fields: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn new(client: Client, user: &'static str) -> Self {
        Self { client, cookies: BTreeMap::new(), user }
    }

    /// Opens a URL, and goes on until a page neither redirects nor asks to log in.
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        self.open_until(url, |_| false).await.expect("a page")
    }

    /// Opens the URL of an authorization endpoint, and returns the URL to which the browser is sent back.
    pub(crate) async fn authorize(&mut self, url: &str, redirect_uri: &str) -> Url {
        match self.open_until(url, |url| url.as_str().starts_with(redirect_uri)).await {
            Ok(page) => panic!("not sent back: {} {}", page.status, page.text),
            Err(url) => url,
        }
    }

    /// Opens the URL of a device login, and confirms or denies it.
    pub(crate) async fn device(&mut self, url: &str, is_confirmed: bool) -> Page {
        let mut page = self.open(url).await;
        while let Some(mut form) = page.form() {
            // The page before this one only sends the code.
            let can_deny = page.text.contains("name=\"abort\"");
            if can_deny && !is_confirmed {
                form.fields.push(("abort".to_owned(), "yes".to_owned()));
            }
            page = self.submit(&form).await;
            page = match self.follow(page, &|_| false).await {
                Ok(page) => page,
                Err(url) => panic!("sent to {url}"),
            };
            if can_deny {
                break;
            }
        }
        page
    }

    /// Sends a form, as the browser does for a person or a script of the page.
    pub(crate) async fn submit(&mut self, form: &Form) -> Page {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&form.fields);
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "null"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "cross-site"),
        ];
        self.request(Method::POST, form.action.clone(), &headers, body.finish()).await
    }

    /// Opens a URL, and returns the page, or the first redirect for which `is_end` is true.
    async fn open_until(&mut self, url: &str, is_end: impl Fn(&Url) -> bool) -> Result<Page, Url> {
        let page = self.request(Method::GET, url.parse().expect("a URL"), &[], String::new()).await;
        self.follow(page, &is_end).await
    }

    async fn follow(&mut self, mut page: Page, is_end: &impl Fn(&Url) -> bool) -> Result<Page, Url> {
        for _ in 0..20 {
            if let Some(location) = &page.location {
                let url = page.url.join(location).expect("a URL");
                if is_end(&url) {
                    return Err(url);
                }
                page = self.request(Method::GET, url, &[], String::new()).await;
                continue;
            }
            let asks_to_log_in = page.text.contains("name=\"login\"");
            if !asks_to_log_in && !page.text.contains("name=\"prompt\" value=\"consent\"") {
                return Ok(page);
            }
            let mut form = page.form().expect("a form");
            if asks_to_log_in {
                for (name, value) in [("login", self.user), ("password", "any")] {
                    form.fields.push((name.to_owned(), value.to_owned()));
                }
            }
            page = self.submit(&form).await;
        }
        panic!("no end at {}", page.url);
    }

    async fn request(&mut self, method: Method, url: Url, headers: &[(&str, &str)], body: String) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(method).uri(url.as_str()).header("accept", "text/html");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.ask(request, body).await;
        self.take_cookies(&answer);
        let location = answer.headers.get("location").map(|value| value.to_str().expect("text").to_owned());
        let location = location.filter(|_| answer.status.is_redirection());
        Page { url, status: answer.status, text: answer.text, location }
    }

    fn take_cookies(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            let (name, value) =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if cookie.contains("expires=Thu, 01 Jan 1970") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// Returns the first form of the page with its hidden fields.
    pub(crate) fn form(&self) -> Option<Form> {
        let form = self.text.split_once("<form")?.1.split("</form>").next()?;
        let action = self.url.join(&attribute(form.split('>').next()?, "action")?).ok()?;
        let inputs = form.split("<input").skip(1).filter_map(|input| input.split('>').next());
        let hidden = inputs.filter(|input| input.contains("hidden"));
        let fields = hidden.filter_map(|input| {
            Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default()))
        });
        Some(Form { action, fields: fields.collect() })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
    Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&#x2F;", "/").replace("&amp;", "&"))
}
