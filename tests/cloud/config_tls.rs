//! `CloudConfig` with services behind TLS: a private CA, no verification, and client certificates.

use tower_keystone::{CloudConfig, Error};

use crate::{
    config::{Home, OK, chain, statuses, to_keystone, to_placement},
    support::{Real, real},
    tls::{Authority, TlsProxy},
};

/// The two services behind TLS, and a clouds file for them.
struct Secured {
    home: Home,
    keystone: TlsProxy,
    placement: TlsProxy,
}

impl Secured {
    async fn new(real: &Real, authority: &Authority, clients: Option<&Authority>) -> Self {
        let keystone = TlsProxy::start(authority, clients, &real.auth_url()).await;
        let placement = TlsProxy::start(authority, clients, &real.placement_url().parse().unwrap()).await;
        Self { home: Home::new(), keystone, placement }
    }

    /// Returns the configuration with these lines of TLS settings.
    fn config(&self, real: &Real, settings: &str) -> CloudConfig {
        self.home.clouds(&format!(
            "clouds:
  secured:
    auth:
      auth_url: {}
      username: admin
      user_domain_name: Default
      password: {}
      project_name: admin
      project_domain_name: Default
    placement_endpoint_override: {}
{settings}",
            self.keystone.origin(),
            real.text("password"),
            self.placement.origin(),
        ));
        self.home.builder().build().unwrap()
    }

    /// Asserts that both services refuse the connections, as a permanent error that contains `reason`.
    async fn assert_refused(&self, config: &CloudConfig, reason: &str) {
        for result in [to_keystone(config).await, to_placement(config).await] {
            let error = result.unwrap_err();
            let found = Error::find(&*error).unwrap();
            assert!(!found.is_transient(), "{found}");
            assert!(chain(&*error).contains(reason), "{}", chain(&*error));
        }
        assert_eq!((self.keystone.requests(), self.placement.requests()), (0, 0));
    }
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_configured() {
    let Some(real) = real() else { return };
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let secured = Secured::new(real, &authority, None).await;
    let ca = secured.home.write("ca.pem", &authority.pem());
    let both = secured.home.write("both.pem", &format!("{}{}", other.pem(), authority.pem()));
    let wrong = secured.home.write("wrong.pem", &other.pem());

    for settings in ["", &format!("    cacert: {}\n", wrong.display())] {
        let config = secured.config(real, settings);
        secured.assert_refused(&config, "certificate was rejected").await;
    }
    let paths = [&*ca.to_string_lossy(), &both.to_string_lossy(), "~/ca.pem", "../ca.pem"];
    for path in paths {
        let config = secured.config(real, &format!("    cacert: {path}\n"));
        assert_eq!(statuses(&config).await, OK, "{path}");
    }
    // `verify` can name the file, too.
    let config = secured.config(real, &format!("    verify: {}\n", ca.display()));
    assert_eq!(statuses(&config).await, OK);
    assert!(secured.keystone.requests() > 0 && secured.placement.requests() > 0);
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_used_is_named() {
    let Some(real) = real() else { return };
    let authority = Authority::new("ours");
    let secured = Secured::new(real, &authority, None).await;
    secured.home.write("empty.pem", "");
    for path in ["~/missing.pem", "~/empty.pem"] {
        let config = secured.config(real, &format!("    cacert: {path}\n"));
        let Err(error) = config.client() else { panic!("{path}: it has no certificate") };
        let (error, file) = (chain(&error), path.trim_start_matches("~/"));
        assert!(error.contains(&format!("/{file}`")) && error.contains("CA file"), "{error}");
    }
}

#[tokio::test]
async fn verification_can_be_turned_off() {
    let Some(real) = real() else { return };
    let secured = Secured::new(real, &Authority::new("ours"), None).await;
    for setting in ["verify: false", "verify: 'no'", "insecure: true"] {
        let config = secured.config(real, &format!("    {setting}\n"));
        assert!(!config.tls().verify);
        assert_eq!(statuses(&config).await, OK, "{setting}");
    }
    let config = secured.config(real, "    verify: true\n");
    let refused = to_keystone(&config).await.unwrap_err();
    assert!(chain(&*refused).contains("certificate was rejected"), "{}", chain(&*refused));
}

#[tokio::test]
async fn a_client_certificate_is_sent_where_a_service_requires_one() {
    let Some(real) = real() else { return };
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let secured = Secured::new(real, &authority, Some(&clients)).await;
    secured.home.write("ca.pem", &authority.pem());
    let (own, foreign) = (clients.issue(), authority.issue());
    secured.home.write("cert.pem", &own.certificate);
    secured.home.write("key.pem", &own.key);
    secured.home.write("both.pem", &format!("{}{}", own.key, own.certificate));
    secured.home.write("foreign.pem", &format!("{}{}", foreign.certificate, foreign.key));

    for settings in ["", "    cert: ~/foreign.pem\n"] {
        let config = secured.config(real, &format!("    cacert: ~/ca.pem\n{settings}"));
        secured.assert_refused(&config, "client certificate").await;
    }
    for settings in ["    cert: ~/cert.pem\n    key: ~/key.pem\n", "    cert: ~/both.pem\n"] {
        let config = secured.config(real, &format!("    cacert: ~/ca.pem\n{settings}"));
        assert_eq!(statuses(&config).await, OK, "{settings}");
    }
    assert!(secured.keystone.requests() > 0 && secured.placement.requests() > 0);
}

#[tokio::test]
async fn the_environment_alone_is_enough_for_tls() {
    let Some(real) = real() else { return };
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let secured = Secured::new(real, &authority, Some(&clients)).await;
    let own = clients.issue();
    let path = |name, text: &str| secured.home.write(name, text).to_str().unwrap().to_owned();
    let (ca, cert, key) =
        (path("ca.pem", &authority.pem()), path("cert.pem", &own.certificate), path("key.pem", &own.key));
    let login = [
        ("OS_AUTH_URL", secured.keystone.origin()),
        ("OS_USERNAME", real.text("username")),
        ("OS_PASSWORD", real.text("password")),
        ("OS_USER_DOMAIN_ID", "default"),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_PROJECT_DOMAIN_ID", "default"),
        ("OS_PLACEMENT_ENDPOINT_OVERRIDE", secured.placement.origin()),
        ("OS_CERT", &cert),
        ("OS_KEY", &key),
    ];
    let config = |tls: &[(&str, &str)]| {
        let variables = login.into_iter().chain(tls.iter().copied());
        secured.home.builder_with(variables).build().unwrap()
    };
    secured.assert_refused(&config(&[]), "certificate was rejected").await;
    for tls in [[("OS_CACERT", &*ca)], [("OS_INSECURE", "true")], [("OS_VERIFY", "false")]] {
        assert_eq!(statuses(&config(&tls)).await, OK, "{tls:?}");
    }
}
