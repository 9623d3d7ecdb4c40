mod stub;

mod asking;
mod caching;
mod in_flight;
mod logging;
mod outage;
