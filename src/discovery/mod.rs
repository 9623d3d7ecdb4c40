//! API versions: what an endpoint says of them without being asked.
//!
//! ```
//! use tower_keystone::discovery::Version;
//!
//! let version = Version::in_url("https://nova.example.com/v2.1/4bd2758b").unwrap();
//! assert_eq!((version.major, version.minor), (2, 1));
//! assert_eq!(version.to_string(), "2.1");
//! ```

mod version;

pub use version::Version;
