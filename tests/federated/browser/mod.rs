//! Logins in the browser of this machine: `BrowserLogin` and `WebSsoLogin`. The tests are the browser.

mod code;
mod fixture;
mod page;
mod web_sso;

use std::{future::Future, time::Duration};

use http::Uri;
use tokio::time::timeout;

/// Waits for an event, with a limit that only a fault reaches.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), event).await.expect("it happens")
}

/// Time for the browser that is not used up.
const LONG: Duration = Duration::from_secs(3600);

/// Returns the decoded parameters of a URL, in their order.
fn parameters(url: &str) -> Vec<(String, String)> {
    url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

fn parameter(url: &str, name: &str) -> String {
    let found: Vec<_> = parameters(url).into_iter().filter(|(other, _)| other == name).collect();
    let [(_, value)] = &found[..] else { panic!("{name} is not once in {url}") };
    value.clone()
}

fn port(url: &str) -> u16 {
    url.parse::<Uri>().unwrap().port_u16().unwrap()
}
