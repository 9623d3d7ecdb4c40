//! Version discovery: its requests, its cache, and hostile documents.

mod allocations;
mod caching;
mod documents;
mod hostile;
mod identities;
mod requests;
mod support;
#[path = "../auth/untouched.rs"]
mod untouched;
