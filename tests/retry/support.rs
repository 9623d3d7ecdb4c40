use tower_keystone::{AuthMethod, RenewingPlugin, Scope, Transport, User, V3Credentials, fixture::Cloud};

/// Returns a cloud with Nova, and with the user `alice` in the project `demo`.
pub(crate) fn cloud() -> Cloud {
    Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo")
}

/// Returns a plugin with the password of `alice`, which sends its logins through `transport`.
pub(crate) fn password(cloud: &Cloud, transport: Transport) -> RenewingPlugin<V3Credentials> {
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials =
        V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(alice, "wonderland"))
            .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    RenewingPlugin::new(credentials, transport)
}
