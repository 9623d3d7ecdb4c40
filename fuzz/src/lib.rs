//! The fuzz targets. Each is a function of bytes that panics if a property does not hold.
//!
//! Inputs are texts that can be written by hand: an HTTP response, a document, or a few lines.

pub mod access_rules;
pub mod auth_response;
pub mod auth_state;
pub mod browser_request;
pub mod catalog;
pub mod config;
pub mod discovery;
mod federation;
mod input;
pub mod join;
pub mod origin_guard;
pub mod project_in_path;
pub mod provider_metadata;
mod requests;
pub mod retry_after;
pub mod saml_ecp;
mod service;
pub mod store_record;
pub mod timestamp;
pub mod token_header;
pub mod token_response;
pub mod validated_request;
pub mod validation_answer;
