//! Validates tokens: from the cache, or by a request to Keystone.

mod answer;
mod cache;
mod in_flight;
mod key;
mod key_cache;
mod keystone;
mod outcome;
mod report;
#[cfg(feature = "store")]
mod second_level;
#[cfg(feature = "store")]
mod seen_entry;
mod settings;
mod shared;
mod spellings;
#[cfg(feature = "store")]
mod stored_validation;
#[cfg(test)]
mod tests;
mod validated_token;
mod validation_task;
mod validator;

pub(super) use outcome::Outcome;
pub(super) use settings::{Asker, ValidatorSettings};
pub(super) use validated_token::ValidatedToken;
pub(super) use validator::{PendingOutcome, TokenValidator};
