//! Authorization: a layer that lets through only callers with certain roles or a certain scope.
//!
//! [`RequireLayer`] is added inside of a [`ValidateTokenLayer`](crate::ValidateTokenLayer), usually around single
//! routes. It decides before the body of a request is read:
//!
//! ```
//! use axum::{
//!     Router,
//!     routing::{get, post},
//! };
//! use tower_keystone::RequireLayer;
//!
//! # async fn list() {}
//! # async fn create() {}
//! # async fn quota() {}
//! # async fn hypervisors() {}
//! let readers = RequireLayer::any_role(["member", "reader"]);
//! let project_members = RequireLayer::project().and(RequireLayer::any_role(["member"]));
//! let same_project = RequireLayer::project_in_path("/projects/{id}");
//! let system_admins = RequireLayer::system().and(RequireLayer::any_role(["admin"]));
//!
//! let router: Router = Router::new()
//!     .route("/servers", get(list).route_layer(readers))
//!     .route("/servers", post(create).route_layer(project_members))
//!     .route("/projects/{id}/quota", get(quota).route_layer(same_project))
//!     .route("/hypervisors", get(hypervisors).route_layer(system_admins));
//! // Then add the `ValidateTokenLayer`: `router.layer(..)`.
//! # drop(router);
//! ```
//!
//! A layer applies to the methods that were added before it: `get(list).route_layer(layer).post(create)` leaves
//! `create` open. Write `get(list).post(create).route_layer(layer)`, or give each method its own layer as above.
//!
//! A condition that depends on more than the caller is a line of the handler:
//!
//! ```
//! use axum::extract::Path;
//! use tower_keystone::{Caller, Rejection};
//!
//! async fn quota(caller: Caller, Path(project_id): Path<String>) -> Result<String, Rejection> {
//!     if !caller.access_info().role_names().any(|name| name == "admin") {
//!         caller.require_project(&project_id)?;
//!     }
//!     Ok(format!("the quota of {project_id}"))
//! }
//! # drop(quota);
//! ```
//!
//! # Responses
//!
//! | request | response |
//! |---|---|
//! | The caller satisfies the requirement. | that of the inner service |
//! | The caller does not. | 403 |
//! | It has no token, or an invalid one. | 401 with the challenge of the `ValidateTokenLayer` |
//! | Its token could not be validated, because Keystone was unavailable. | 503 with `Retry-After` |
//! | No `ValidateTokenLayer` has seen it. | 500, and an error in the log |
//!
//! Without [`delay_auth_decision`], the `ValidateTokenLayer` sends the responses with status 401 and 503 itself.
//!
//! The body is a JSON document like those of Keystone, which does not say what is required. The requirement that the
//! caller does not satisfy is logged at debug level, with the roles and the project of the caller.
//!
//! [`delay_auth_decision`]: crate::ValidateTokenLayer::delay_auth_decision

mod future;
mod layer;
mod path_pattern;
mod requirement;
mod service;
#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::RequireLayer;
pub use service::Require;
