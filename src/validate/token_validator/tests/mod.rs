mod stub;

mod asking;
mod caching;
mod in_flight;
mod logging;
mod outage;
#[cfg(feature = "store")]
mod second_level;
