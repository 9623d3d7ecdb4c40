//! Builds the credentials of a case that obtain a token by federation or OAuth 2.0, and the plugin without a token.

use http::Uri;
use tower_keystone::{
    AuthUrl, Credentials, Scope, Transport,
    federation::{
        AccessTokenType, DeviceLogin, FederatedCredentials, Grant, IdentityProvider,
        Keystone2KeystoneCredentials, OAuth2ClientCredentials, OAuth2MtlsCredentials, OidcClient,
        TokenlessPlugin,
    },
    identity::AuthRefFuture,
};

use super::{AnyCredentials, Plugin, PluginSpec, scope};
use crate::{Incomplete, clock::FrozenClock, comparison::CallError};

/// Returns the credentials of a federated login, or `None` if the plugin is of another kind.
pub(super) fn credentials(
    spec: &PluginSpec,
    transport: &Transport,
    clock: FrozenClock,
) -> Result<Option<AnyCredentials>, CallError> {
    let auth_url = || spec.uri("auth_url");
    let without_unscoped_token = |credentials| AnyCredentials { credentials, unscoped_cache_id: None };
    let grant = match &*spec.kind {
        "v3oidcclientcredentials" => Grant::client_credentials(client(spec)?),
        "v3oidcpassword" => Grant::password(
            client(spec)?,
            spec.text("username").unwrap_or_default(),
            spec.secret("password")?,
        ),
        "v3oidcaccesstoken" => Grant::access_token(spec.secret("access_token")?),
        "v3oidcauthorizationcode" => {
            let grant = Grant::authorization_code(client(spec)?, spec.secret("code")?);
            match spec.text("redirect_uri") {
                Some(url) => grant.redirect_uri(url),
                None => grant,
            }
        }
        "v3oidcdeviceauthorization" => {
            let (provider, client, scope) = (provider(spec)?, device_client(spec)?, scope(spec)?);
            let credentials = Device { provider, client, scope, auth_url: auth_url()? };
            return Ok(Some(without_unscoped_token(Box::new(credentials))));
        }
        "v3keystone2keystone" => {
            let home: Option<PluginSpec> = spec.get("base_plugin")?;
            let missing = || Incomplete::Malformed("Keystone to Keystone without a base_plugin".to_owned());
            let home = Plugin::new(&home.ok_or_else(missing)?, transport, clock)?.shared();
            let credentials =
                Keystone2KeystoneCredentials::new(home, spec.text("service_provider").unwrap_or_default());
            return Ok(Some(without_unscoped_token(Box::new(credentials.scope(scope(spec)?)))));
        }
        "v3oauth2clientcredential" => {
            let (id, secret) = (spec.text("oauth2_client_id"), spec.secret("oauth2_client_secret")?);
            let endpoint = spec.uri("oauth2_endpoint")?;
            let credentials =
                OAuth2ClientCredentials::new(auth_url()?, endpoint, id.unwrap_or_default(), secret);
            return Ok(Some(without_unscoped_token(Box::new(credentials.scope(scope(spec)?)))));
        }
        "v3oauth2mtlsclientcredential" => {
            let id = spec.text("oauth2_client_id").unwrap_or_default();
            let credentials = OAuth2MtlsCredentials::new(auth_url()?, spec.uri("oauth2_endpoint")?, id);
            return Ok(Some(without_unscoped_token(Box::new(credentials))));
        }
        _ => return Ok(None),
    };
    let credentials = FederatedCredentials::new(provider(spec)?, grant).scope(scope(spec)?);
    let unscoped_cache_id = credentials.unscoped_cache_id();
    Ok(Some(AnyCredentials { credentials: Box::new(credentials), unscoped_cache_id }))
}

/// Returns the plugin without a token.
pub(super) fn tokenless(spec: &PluginSpec) -> Result<TokenlessPlugin, CallError> {
    Ok(TokenlessPlugin::new(spec.uri("auth_url")?, scope(spec)?)?)
}

fn provider(spec: &PluginSpec) -> Result<IdentityProvider, CallError> {
    let [id, protocol] = ["identity_provider", "protocol"].map(|name| spec.text(name).unwrap_or_default());
    Ok(IdentityProvider::new(spec.uri("auth_url")?, id, protocol))
}

type SetEndpoint = fn(OidcClient, AuthUrl) -> OidcClient;

fn client(spec: &PluginSpec) -> Result<OidcClient, CallError> {
    let endpoints: [(&str, SetEndpoint); 3] = [
        ("discovery_endpoint", OidcClient::discovery_endpoint),
        ("access_token_endpoint", OidcClient::access_token_endpoint),
        ("device_authorization_endpoint", OidcClient::device_authorization_endpoint),
    ];
    let mut client = OidcClient::new(spec.text("client_id").unwrap_or_default());
    for (name, set) in endpoints {
        if spec.text(name).is_some() {
            client = set(client, spec.uri(name)?.into());
        }
    }
    if let Some(secret) = spec.text("client_secret") {
        client = client.secret(&*secret);
    }
    if let Some(scope) = spec.text("scope") {
        client = client.scope(scope);
    }
    match spec.text("access_token_type").as_deref() {
        None | Some("access_token") => Ok(client),
        Some("id_token") => Ok(client.access_token_type(AccessTokenType::IdToken)),
        Some(other) => Err(Incomplete::NotExpressible(format!("the access_token_type {other}")).into()),
    }
}

fn device_client(spec: &PluginSpec) -> Result<OidcClient, CallError> {
    match spec.text("code_challenge_method").as_deref() {
        Some("S256") => client(spec),
        None => Ok(client(spec)?.without_code_challenge()),
        Some(_) => {
            Err(Incomplete::NotExpressible("a code challenge method other than S256".to_owned()).into())
        }
    }
}

/// A device login at each login, as in keystoneauth. The person logs in at once.
struct Device {
    provider: IdentityProvider,
    client: OidcClient,
    scope: Scope,
    auth_url: Uri,
}

impl Credentials for Device {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let (provider, client, scope) = (self.provider.clone(), self.client.clone(), self.scope.clone());
        Box::pin(async move {
            let login = DeviceLogin::start(provider, client, transport.clone()).await?.complete().await?;
            login.into_credentials().scope(scope).get_auth_ref(transport).await
        })
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }
}
