//! Calls to a plugin about its token.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_keystone::{AccessInfo, Error, Secret, ServiceAccess, endpoint::Origin};

use crate::{
    Case, Difference, Incomplete, access,
    arguments::Args,
    comparison::CallError,
    operations,
    plugins::{Plugin, auth_state},
    servers::{self, Servers},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    operations::replay(case, differences, Value::clone)
}

/// A plugin, and the access that it returned last.
pub(crate) struct AuthenticatedPlugin {
    pub(crate) plugin: Plugin,
    pub(crate) servers: Servers,
    pub(crate) last: Option<Arc<ServiceAccess>>,
}

impl AuthenticatedPlugin {
    pub(crate) async fn call(&mut self, op: &str, args: Args<'_>) -> Result<Value, CallError> {
        Ok(match (op, &self.plugin) {
            ("get_token", _) => self.headers().await?["x-auth-token"].clone(),
            ("get_headers", _) => self.headers().await?,
            ("get_access", _) => access::summary(self.auth_ref().await?),
            ("get_cache_id", Plugin::RenewingPlugin(plugin)) => json!(plugin.cache_id()),
            ("get_cache_id", _) => Value::Null,
            ("get_unscoped_cache_id", Plugin::RenewingPlugin(plugin)) => {
                json!(plugin.credentials().unscoped_cache_id)
            }
            // Only a store has the unscoped token.
            ("get_unscoped_auth_state", Plugin::RenewingPlugin(_)) => Value::Null,
            ("get_auth_state", Plugin::RenewingPlugin(plugin)) => state(plugin.auth_state()),
            ("get_auth_state", Plugin::AccessInfo(_, access_info)) => state(Some(access_info.auth_state())),
            ("set_auth_state", Plugin::RenewingPlugin(plugin)) => {
                let state = auth_state(args.given("state").unwrap_or(&Value::Null));
                plugin.set_auth_state(state.as_ref())?;
                Value::Null
            }
            // This plugin never changes its access info.
            ("set_auth_state", Plugin::AccessInfo(..)) => Value::Null,
            ("needs_reauthenticate", Plugin::RenewingPlugin(plugin)) => plugin.needs_renewal().into(),
            ("needs_reauthenticate", plugin) => {
                let since = Instant::now();
                let _ = plugin.shared().access().await;
                (!self.servers.take_sent(since).0.is_empty()).into()
            }
            ("invalidate", plugin) => {
                let service = Uri::from_static("https://nova.example.com");
                let nothing = || ServiceAccess::fixed(service.clone()).map(Arc::new);
                let used = self.last.clone().map_or_else(nothing, Ok)?;
                let by = Origin::from_uri(&service).ok_or(Error::NoToken)?;
                plugin.shared().invalidate(&used, &by).into()
            }
            ("get_user_id", Plugin::AccessInfo(_, access_info)) => json!(access_info.user_id()),
            ("get_project_id", Plugin::AccessInfo(_, access_info)) => json!(access_info.project_id()),
            ("get_user_id", _) => json!(self.access().await?.user_id()),
            ("get_project_id", _) => json!(self.access().await?.project_id()),
            ("get_sp_url" | "get_sp_auth_url", _) => {
                let wanted = args.text("sp_id")?.unwrap_or_default();
                let access_info = self.auth_ref().await?;
                let provider = access_info
                    .service_providers()
                    .into_iter()
                    .flatten()
                    .find(|provider| provider.id == wanted);
                json!(provider.and_then(|found| if op == "get_sp_url" {
                    found.sp_url
                } else {
                    found.auth_url
                }))
            }
            (
                "get_unscoped_cache_id" | "get_unscoped_auth_state" | "get_auth_state" | "set_auth_state",
                _,
            ) => {
                return Err(
                    Incomplete::NotExpressible(format!("{op} of a plugin without this operation")).into()
                );
            }
            (other, _) => return Err(Incomplete::Malformed(format!("unknown operation: {other}")).into()),
        })
    }

    async fn access(&mut self) -> Result<Arc<ServiceAccess>, Error> {
        let access = self.plugin.shared().access().await?;
        self.last = Some(Arc::clone(&access));
        Ok(access)
    }

    async fn auth_ref(&mut self) -> Result<AccessInfo, CallError> {
        if let Plugin::AccessInfo(_, access_info) = &self.plugin {
            return Ok(access_info.clone());
        }
        let access = self.access().await?;
        let without = || Incomplete::NotExpressible("the access info of a plugin without one".to_owned());
        Ok(access.auth_ref().cloned().ok_or_else(without)?)
    }

    async fn headers(&mut self) -> Result<Value, Error> {
        let mut headers = HeaderMap::new();
        self.access().await?.insert_headers(&mut headers);
        Ok(servers::headers(&headers))
    }
}

fn state(state: Option<Secret>) -> Value {
    state.map_or(Value::Null, |state| serde_json::from_str(state.expose()).unwrap_or("no JSON".into()))
}
