//! Services that validate the tokens of their callers.

mod application;
mod lifetime;
mod on_behalf;
mod python_client;
mod reference;
mod replicas;
mod self_validation;
mod side_by_side;
mod table;
mod world;
