//! What the logins of persons do after a person has logged in, who is not to be asked again.

mod background_request;
mod retried_exchange;
mod retries;

#[cfg(feature = "browser")]
pub(super) use self::retries::Retries;
pub(super) use self::{
    background_request::{BackgroundRequest, within_timeout},
    retried_exchange::RetriedExchange,
};
