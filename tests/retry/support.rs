use tower_keystone::{AuthMethod, Renewing, Scope, Transport, User, V3Auth, fixture::Cloud};

/// A cloud with a nova, and with Alice in the project `demo`.
pub(crate) fn cloud() -> Cloud {
    Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo")
}

/// Alice, whose logins go to the cloud's Keystone by this way.
pub(crate) fn password(cloud: &Cloud, transport: Transport) -> Renewing<V3Auth> {
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = V3Auth::new(cloud.keystone().auth_url(), AuthMethod::password(alice, "wonderland"))
        .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    Renewing::new(credentials, transport)
}
