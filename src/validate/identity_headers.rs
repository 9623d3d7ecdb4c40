//! The identity headers of keystonemiddleware, for applications that read them.
