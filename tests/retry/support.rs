use tower_keystone::{AuthMethod, RenewingPlugin, Scope, Transport, User, V3Credentials, fixture::Cloud};

/// A cloud with a nova, and with Alice in the project `demo`.
pub(crate) fn cloud() -> Cloud {
    Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo")
}

/// Alice, whose logins go to the cloud's Keystone by this way.
pub(crate) fn password(cloud: &Cloud, transport: Transport) -> RenewingPlugin<V3Credentials> {
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials =
        V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(alice, "wonderland"))
            .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    RenewingPlugin::new(credentials, transport)
}
