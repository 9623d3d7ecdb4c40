use super::{CloudConfig, LoginPage, identity::Identity};
use crate::{Error, Transport};

impl CloudConfig {
    /// Logs a person in, if the auth type needs one: `v3oidcdeviceauthz` or `v3websso`.
    ///
    /// It calls `show` with the page where the person logs in, waits until they have, and returns a configuration that
    /// contains the login. Its plugins, layers and clients have a token as long as the unscoped token of the login or its
    /// refresh token is valid. After that, requests fail with [`Error::LoginEnded`], and the program logs in again. They
    /// fail without this method, too: a request never waits for a person.
    ///
    /// With any other auth type, it returns the configuration as it is and sends nothing.
    ///
    /// ```
    /// use tower_keystone::{CloudConfig, Error, Transport};
    ///
    /// async fn config(transport: Transport) -> Result<CloudConfig, Error> {
    ///     let config = CloudConfig::from_env()?;
    ///     config
    ///         .log_in(transport, |page| {
    ///             println!("Log in at {}", page.url);
    ///             if let Some(code) = page.user_code {
    ///                 println!("with the code {code}");
    ///             }
    ///         })
    ///         .await
    /// }
    /// # let _ = config;
    /// ```
    ///
    /// [`DeviceLogin`](crate::federation::DeviceLogin) and the other logins in the module
    /// [`federation`](crate::federation) let a program wait in parts, or keep the refresh token.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`] if others can write to a file of the configuration, which could send the person elsewhere.
    /// - Those of the login, such as [`Error::FederatedLoginFailed`] if the person refuses it or the time is over.
    pub async fn log_in(
        self,
        transport: Transport,
        show: impl FnOnce(&LoginPage<'_>),
    ) -> Result<Self, Error> {
        let Identity::Person(login) = self.identity() else { return Ok(self) };
        self.check_user_trust()?;
        let credentials = login.clone().log_in(transport, show).await?;
        Ok(self.with_identity(Identity::Federated(credentials.into())))
    }
}
