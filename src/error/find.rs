//! Finds an [`Error`] in a chain of errors.

use std::{cell::Cell, error::Error as StdError};

use super::Error;

thread_local! {
    /// Whether the next call of [`Error::source`](StdError::source) returns the error itself instead of its source.
    ///
    /// With it, [`Error::find`] finds an [`Error`] in a wrapper that only forwards `source` to it.
    static RETURN_SELF: Cell<bool> = const { Cell::new(false) };
}

impl Error {
    /// Returns the first error of this crate in a chain of errors, such as the [`BoxError`](super::BoxError) of a
    /// middleware stack.
    ///
    /// This also finds an error that a wrapper hides from the chain of sources. Such wrappers are an `anyhow::Error` or
    /// an `eyre::Report` made from a `BoxError`, `#[error(transparent)]` of thiserror, `std::io::Error::other`, and a
    /// `BoxError` in another `BoxError`.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = next_in_chain(error);
        }
        None
    }
}

/// Returns the source of an error that is not an [`Error`].
///
/// If the error is a wrapper that forwards `source` to an [`Error`], returns that [`Error`] instead.
fn next_in_chain<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    RETURN_SELF.set(true);
    let next = error.source();
    RETURN_SELF.set(false);
    next
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // A transparent wrapper forwards `source` to the wrapped error, which is then missing from the chain.
        if RETURN_SELF.take() {
            return Some(self);
        }
        match self {
            Self::DiscoveryFailure(error) => error.source(),
            #[cfg(feature = "federation")]
            Self::FederatedLoginFailed(error) => error.source(),
            Self::ConnectFailure { source, .. } | Self::Plugin { source, .. } => Some(&**source),
            #[cfg(feature = "store")]
            Self::InvalidStore { source: Some(source), .. }
            | Self::StoreUnavailable { source: Some(source) } => Some(&**source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, io, sync::Arc};

    use super::*;
    use crate::BoxError;

    /// Behaves like a derived `#[error(transparent)]`.
    #[derive(Debug)]
    struct Transparent(BoxError);

    impl fmt::Display for Transparent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl StdError for Transparent {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.0.source()
        }
    }

    fn assert_found(error: &(dyn StdError + 'static), wrapper: &str) {
        assert!(matches!(Error::find(error), Some(Error::NoToken)), "{wrapper}: {error:?}");
    }

    #[test]
    fn it_is_found_in_transparent_wrappers() {
        let boxed = || BoxError::from(Error::NoToken);
        assert_found(&*boxed(), "box");
        assert_found(&Transparent(boxed()), "transparent");
        assert_found(
            &Transparent(Transparent(Transparent(boxed()).into()).into()),
            "transparent three times",
        );
        assert_found(&io::Error::other(Error::NoToken), "io::Error");
        assert_found(&io::Error::other(boxed()), "io::Error of a box");
        assert_found(&io::Error::other(io::Error::other(boxed())), "io::Error twice");
        assert_found(&Box::new(Error::NoToken), "box of ours");
        assert_found(&*BoxError::from(Box::new(Error::NoToken)), "box in a box");
        assert_found(&*BoxError::from(Box::new(Box::new(Error::NoToken))), "box in a box in a box");
        assert_found(&Arc::new(Error::NoToken), "Arc");
        assert_found(&Arc::<dyn StdError + Send + Sync>::from(boxed()), "Arc of a box");
    }

    #[test]
    fn it_is_found_in_anyhow_and_eyre() {
        let boxed = || BoxError::from(Error::NoToken);
        for error in [
            anyhow::anyhow!(boxed()),
            anyhow::Error::from_boxed(boxed()),
            anyhow::Error::new(Error::NoToken),
            anyhow::anyhow!(Error::NoToken),
            anyhow::anyhow!(io::Error::other(boxed())),
        ] {
            assert_found(&*error, "anyhow");
            let error = error.context("listing servers").context(7);
            assert_found(&*error, "anyhow with context");
            assert_found(&*BoxError::from(error), "anyhow in a box");
        }
        assert_found(
            &*anyhow::anyhow!(BoxError::from(anyhow::anyhow!(boxed()))),
            "anyhow in a box in anyhow",
        );
        for error in [eyre::eyre!(boxed()), eyre::Report::new(Error::NoToken)] {
            assert_found(&*error, "eyre");
            let error = error.wrap_err("listing servers");
            assert_found(&*error, "eyre with context");
            assert_found(&*BoxError::from(error), "eyre in a box");
        }
    }

    #[test]
    fn nothing_is_found_among_other_errors() {
        for error in [BoxError::from("no token"), io::Error::other("no token").into(), fmt::Error.into()] {
            assert!(Error::find(&*error).is_none());
        }
        assert!(Error::find(&*anyhow::anyhow!("no token").context("listing")).is_none());
    }

    #[test]
    fn a_chain_of_anyhow_stays_as_it_is() {
        let refused = || Error::connect(&"http://h:1/".parse().unwrap(), io::Error::other("refused"));
        let wrapped = anyhow::anyhow!(BoxError::from(refused())).context("listing servers");
        assert!(Error::find(&*wrapped).is_some());
        let chain: Vec<_> = wrapped.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["listing servers", &refused().to_string(), "refused"]);
        assert!(Error::NoToken.source().is_none());
    }
}
