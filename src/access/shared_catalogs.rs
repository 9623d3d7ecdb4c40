/// The catalogs of the access infos that are alive, so that equal catalogs are kept once.
#[derive(Default)]
pub(crate) struct SharedCatalogs {}
