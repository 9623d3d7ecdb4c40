//! The auth types of federated logins, and those with OAuth 2.0 or a client certificate.

use super::{
    auth_type::{AuthType, Federated, Kind},
    setting::{PROJECT, Setting, V3, renamed, setting},
};

const PROVIDER: &[Setting] = &[setting("identity_provider"), setting("protocol")];
const CLIENT: &[Setting] = &[
    setting("client_id"),
    setting("client_secret"),
    // openstacksdk passes the scope on by the second name.
    renamed("openid_scope", "scope"),
    setting("access_token_endpoint"),
    setting("discovery_endpoint"),
    setting("access_token_type"),
];
/// Unlike a user of Keystone, a user of a provider has neither an id nor a domain.
const PROVIDER_USER: &[Setting] = &[setting("username"), setting("password")];
const PASSCODE: Setting =
    Setting { name: "passcode", old_name: None, prompt: Some("Please enter the generated OTP code: ") };

pub(super) const FEDERATED: &[AuthType] = &[
    federated("v3oidcclientcredentials", Federated::ClientCredentials, &[V3, PROJECT, PROVIDER, CLIENT]),
    federated(
        "v3oidcpassword",
        Federated::Password,
        &[V3, PROJECT, PROVIDER, CLIENT, PROVIDER_USER, &[setting("idp_otp_key"), PASSCODE]],
    ),
    federated(
        "v3oidcaccesstoken",
        Federated::AccessToken,
        &[V3, PROJECT, PROVIDER, &[setting("access_token")]],
    ),
    federated(
        "v3oidcauthcode",
        Federated::AuthorizationCode,
        &[V3, PROJECT, PROVIDER, CLIENT, &[setting("redirect_uri"), renamed("code", "authorization_code")]],
    ),
    federated(
        "v3oidcdeviceauthz",
        Federated::Device,
        &[
            V3,
            PROJECT,
            PROVIDER,
            CLIENT,
            &[setting("device_authorization_endpoint"), setting("code_challenge_method")],
        ],
    ),
    #[cfg(feature = "browser")]
    federated(
        "v3websso",
        Federated::WebSso,
        &[
            V3,
            PROJECT,
            PROVIDER,
            &[
                setting("redirect_host"),
                setting("redirect_port"),
                setting("login_timeout"),
                setting("username"),
            ],
        ],
    ),
    #[cfg(feature = "saml")]
    federated(
        "v3samlpassword",
        Federated::SamlPassword,
        &[V3, PROJECT, PROVIDER, &[setting("identity_provider_url")], PROVIDER_USER],
    ),
    federated(
        "v3oauth2clientcredential",
        Federated::OAuth2Client,
        &[V3, PROJECT, OAUTH2, &[setting("oauth2_client_secret")]],
    ),
    federated("v3oauth2mtlsclientcredential", Federated::OAuth2Mtls, &[V3, PROJECT, OAUTH2]),
    federated("v3tokenlessauth", Federated::Tokenless, &[TOKENLESS, PROJECT]),
];

const OAUTH2: &[Setting] = &[setting("oauth2_endpoint"), setting("oauth2_client_id")];
const TOKENLESS: &[Setting] = &[
    setting("auth_url"),
    setting("domain_id"),
    setting("domain_name"),
    setting("project_domain_id"),
    setting("project_domain_name"),
];

const fn federated(name: &'static str, kind: Federated, settings: &'static [&'static [Setting]]) -> AuthType {
    AuthType { name, kind: Kind::Federated(kind), settings }
}
