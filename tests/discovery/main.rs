//! Version discovery: which requests it sends, what it caches, and hostile documents.

mod allocations;
mod caching;
mod documents;
mod hostile;
mod requests;
mod support;
