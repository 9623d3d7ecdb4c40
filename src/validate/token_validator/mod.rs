//! Validates tokens: from the cache, or by a request to Keystone.

mod settings;
mod validated_token;
mod validator;

pub(super) use settings::{Asker, ValidatorSettings};
pub(super) use validated_token::ValidatedToken;
pub(super) use validator::{Outcome, PendingOutcome, TokenValidator};
