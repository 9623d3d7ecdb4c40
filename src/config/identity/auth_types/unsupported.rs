/// An auth type of keystoneauth that a configuration cannot use.
pub(in crate::config::identity) struct Unsupported {
    pub(in crate::config::identity) name: &'static str,
    /// What to do.
    pub(in crate::config::identity) hint: &'static str,
}

/// The auth types of keystoneauth that a configuration cannot use.
pub(in crate::config::identity) const UNSUPPORTED: &[Unsupported] = &[
    Unsupported {
        name: "v3kerberos",
        hint: "in the program, log in with V3Credentials and AuthMethod::kerberos, as the example `kerberos` does",
    },
    Unsupported {
        name: "v3fedkerb",
        hint: "in the program, log in with FederatedCredentials and Grant::header, which takes the function that makes the \
               `Negotiate` header in the example `kerberos`",
    },
    Unsupported {
        name: "v3oauth1",
        hint: "in the program, log in with V3Credentials and AuthMethod::oauth1, which takes a function that signs the \
               request",
    },
    // keystoneauth has this login too, but no auth type of this name.
    Unsupported {
        name: "v3keystone2keystone",
        hint: "configure the cloud at home with its own auth type, and in the program, log in to the other cloud with \
               Keystone2KeystoneCredentials",
    },
    Unsupported {
        name: "v3adfspassword",
        hint: "use OpenID Connect, which ADFS has too: v3oidcpassword, v3oidcclientcredentials or v3oidcdeviceauthz",
    },
    #[cfg(not(feature = "federation"))]
    without_feature("v3oidcclientcredentials"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oidcpassword"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oidcaccesstoken"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oidcauthcode"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oidcdeviceauthz"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oauth2clientcredential"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3oauth2mtlsclientcredential"),
    #[cfg(not(feature = "federation"))]
    without_feature("v3tokenlessauth"),
    #[cfg(not(feature = "browser"))]
    Unsupported { name: "v3websso", hint: "build the program with the feature `browser` of tower-keystone" },
    #[cfg(not(feature = "saml"))]
    Unsupported {
        name: "v3samlpassword",
        hint: "build the program with the feature `saml` of tower-keystone",
    },
];

#[cfg(not(feature = "federation"))]
const fn without_feature(name: &'static str) -> Unsupported {
    Unsupported { name, hint: "build the program with the feature `federation` of tower-keystone" }
}
