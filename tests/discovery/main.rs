//! Version discovery: what requests cause it, what is remembered, and what documents can do.

mod allocations;
mod documents;
mod hostile;
mod memory;
mod requests;
mod support;
