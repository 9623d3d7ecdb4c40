//! Finding an error of this crate in a chain of errors.

use std::{cell::Cell, error::Error as StdError};

use super::Error;

thread_local! {
    /// Whether the next of our errors that is asked for its source has to name itself.
    static IDENTIFY: Cell<bool> = const { Cell::new(false) };
}

impl Error {
    /// The first error of this crate in a chain of errors, such as one that came out of a stack of
    /// middleware as a [`BoxError`](super::BoxError).
    ///
    /// It is found behind wrappers that hide it from the chain too: an `anyhow::Error` or `eyre::Report` made of a
    /// box, `#[error(transparent)]` of thiserror, `std::io::Error::other`, a box in a box.
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

/// The source of an error that is not ours. If its `source` is that of one of ours, that one itself.
fn next_in_chain<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    IDENTIFY.set(true);
    let next = error.source();
    IDENTIFY.set(false);
    next
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // A transparent wrapper hands `source` on to what is in it, which so has no place in the chain.
        if IDENTIFY.take() {
            return Some(self);
        }
        match self {
            Self::DiscoveryFailure(error) => error.source(),
            Self::ConnectFailure { source, .. } | Self::Plugin { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, io, sync::Arc};

    use super::*;
    use crate::BoxError;

    /// As a derived `#[error(transparent)]` is.
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

    fn finds(error: &(dyn StdError + 'static), of_whom: &str) {
        assert!(matches!(Error::find(error), Some(Error::NoToken)), "{of_whom}: {error:?}");
    }

    #[test]
    fn it_is_found_behind_what_is_transparent() {
        let boxed = || BoxError::from(Error::NoToken);
        finds(&*boxed(), "box");
        finds(&Transparent(boxed()), "transparent");
        finds(&Transparent(Transparent(Transparent(boxed()).into()).into()), "transparent three times");
        finds(&io::Error::other(Error::NoToken), "io::Error");
        finds(&io::Error::other(boxed()), "io::Error of a box");
        finds(&io::Error::other(io::Error::other(boxed())), "io::Error twice");
        finds(&Box::new(Error::NoToken), "box of ours");
        finds(&*BoxError::from(Box::new(Error::NoToken)), "box in a box");
        finds(&*BoxError::from(Box::new(Box::new(Error::NoToken))), "box in a box in a box");
        finds(&Arc::new(Error::NoToken), "Arc");
        finds(&Arc::<dyn StdError + Send + Sync>::from(boxed()), "Arc of a box");
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
            finds(&*error, "anyhow");
            let error = error.context("listing servers").context(7);
            finds(&*error, "anyhow with context");
            finds(&*BoxError::from(error), "anyhow in a box");
        }
        finds(&*anyhow::anyhow!(BoxError::from(anyhow::anyhow!(boxed()))), "anyhow in a box in anyhow");
        for error in [eyre::eyre!(boxed()), eyre::Report::new(Error::NoToken)] {
            finds(&*error, "eyre");
            let error = error.wrap_err("listing servers");
            finds(&*error, "eyre with context");
            finds(&*BoxError::from(error), "eyre in a box");
        }
    }

    #[test]
    fn nothing_is_found_where_none_of_ours_is() {
        for error in [BoxError::from("no token"), io::Error::other("no token").into(), fmt::Error.into()] {
            assert!(Error::find(&*error).is_none());
        }
        assert!(Error::find(&*anyhow::anyhow!("no token").context("listing")).is_none());
    }

    #[test]
    fn the_chain_of_others_has_no_link_of_ours() {
        let refused = || Error::connect(&"http://h:1/".parse().unwrap(), io::Error::other("refused"));
        let wrapped = anyhow::anyhow!(BoxError::from(refused())).context("listing servers");
        assert!(Error::find(&*wrapped).is_some());
        let chain: Vec<_> = wrapped.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["listing servers", &refused().to_string(), "refused"]);
        assert!(Error::NoToken.source().is_none());
    }
}
