//! The built-in profiles of providers.

use crate::{
    Secret,
    config::value::{Data, Mapping, Value},
    error::ConfigLocation,
};

/// A built-in profile.
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) status: Status,
    auth_url: &'static str,
    /// The domain of users and projects.
    domain_name: Option<&'static str>,
    /// In order. The first one is the default.
    regions: &'static [&'static str],
    settings: &'static [(&'static str, &'static str)],
}

/// Whether a provider can be used.
#[derive(Clone, Copy)]
pub(super) enum Status {
    Active,
    /// The provider advises against it.
    Deprecated(&'static str),
    /// The provider no longer exists.
    ShutDown(&'static str),
    /// The profile has to be fetched from this URL.
    Remote(&'static str),
}

/// Returns the built-in profile of this name.
pub(super) fn find(name: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.name == name)
}

impl Vendor {
    /// Returns the settings of the profile.
    pub(super) fn members(&self) -> Mapping {
        let location = ConfigLocation::Profile(self.name.into());
        let text = |text: &str| Value { data: Data::Scalar(Secret::new(text)), location: location.clone() };
        let (mut auth, mut members) = (Mapping::default(), Mapping::default());
        if !self.auth_url.is_empty() {
            auth.insert("auth_url", text(self.auth_url));
        }
        if let Some(domain_name) = self.domain_name {
            auth.insert("user_domain_name", text(domain_name));
            auth.insert("project_domain_name", text(domain_name));
        }
        members.insert("auth", Value { data: Data::Mapping(auth), location: location.clone() });
        let regions = self.regions.iter().map(|region| text(region)).collect();
        members.insert("regions", Value { data: Data::Sequence(regions), location: location.clone() });
        for (name, value) in self.settings {
            members.insert(name, text(value));
        }
        members
    }
}

const fn active(name: &'static str, auth_url: &'static str, regions: &'static [&'static str]) -> Vendor {
    Vendor { name, status: Status::Active, auth_url, domain_name: None, regions, settings: &[] }
}

const fn shut_down(name: &'static str, reason: &'static str) -> Vendor {
    Vendor { status: Status::ShutDown(reason), ..active(name, "", &[]) }
}

const fn remote(name: &'static str, url: &'static str) -> Vendor {
    Vendor { status: Status::Remote(url), ..active(name, "", &[]) }
}

const IDENTITY_V3: (&str, &str) = ("identity_api_version", "3");

static VENDORS: &[Vendor] = &[
    Vendor {
        domain_name: Some("Default"),
        settings: &[IDENTITY_V3],
        ..active("auro", "https://api.van2.auro.io:5000/v3", &["RegionOne"])
    },
    shut_down("betacloud", "the provider has ceased business"),
    Vendor {
        settings: &[IDENTITY_V3, ("block_storage_api_version", "3")],
        ..active("binero", "https://auth.binero.cloud:5000/v3", &["europe-se-1"])
    },
    Vendor { settings: &[("block_storage_api_version", "1")], ..active("bluebox", "", &["RegionOne"]) },
    Vendor {
        settings: &[("image_api_version", "1"), ("block_storage_api_version", "1")],
        ..active("catalyst", "https://api.cloud.catalyst.net.nz:5000/v2.0", &["nz-por-1", "nz_wlg_2"])
    },
    Vendor {
        settings: &[IDENTITY_V3, ("block_storage_api_version", "3")],
        ..active(
            "citycloud",
            "https://{region_name}.citycloud.com:5000/v3/",
            &["Buf1", "Fra1", "Sto2", "Kna1", "dx1", "tky1"],
        )
    },
    Vendor {
        settings: &[("identity_api_version", "2")],
        ..active("conoha", "https://identity.{region_name}.conoha.io", &["sin1", "sjc1", "tyo1"])
    },
    Vendor {
        settings: &[IDENTITY_V3],
        ..active("dreamcompute", "https://iad2.dream.io:5000", &["RegionOne"])
    },
    Vendor { settings: &[IDENTITY_V3], ..active("elastx", "https://ops.elastx.cloud:5000/v3", &["se-sto"]) },
    Vendor {
        settings: &[IDENTITY_V3, ("image_api_version", "1"), ("block_storage_api_version", "1")],
        ..active("entercloudsuite", "https://api.entercloudsuite.com/", &["it-mil1", "nl-ams1", "de-fra1"])
    },
    Vendor {
        status: Status::Deprecated("its API no longer responds"),
        domain_name: Some("Default"),
        settings: &[IDENTITY_V3, ("block_storage_api_version", "3")],
        ..active("fuga", "https://identity.api.fuga.io:5000", &["cystack"])
    },
    shut_down("ibmcloud", "its API no longer responds"),
    shut_down("internap", "the provider has a new name, HorizonIQ"),
    Vendor {
        settings: &[IDENTITY_V3, ("volume_api_version", "3")],
        ..active("limestonenetworks", "https://auth.cloud.lstn.net:5000/v3", &["us-dfw-1", "us-slc"])
    },
    Vendor {
        settings: &[IDENTITY_V3, ("interface", "public")],
        ..active("otc", "https://iam.{region_name}.otc.t-systems.com/v3", &["eu-de", "eu-nl"])
    },
    Vendor {
        settings: &[IDENTITY_V3, ("interface", "public")],
        // The reference has this URL without its scheme.
        ..active("otc-swiss", "https://iam-pub.eu-ch2.sc.otc.t-systems.com/v3", &["eu-ch2"])
    },
    remote("ovh", "https://ovhcloud.com"),
    Vendor {
        domain_name: Some("Default"),
        settings: &[IDENTITY_V3],
        ..active(
            "ovh-us",
            "https://auth.cloud.ovh.us/",
            &["US-EAST-VA-1", "US-WEST-OR-1", "US-EAST-VA", "US-WEST-OR"],
        )
    },
    Vendor {
        settings: &[
            ("identity_api_version", "2.0"),
            ("database_service_type", "rax:database"),
            ("compute_service_name", "cloudServersOpenStack"),
            (
                "block_storage_endpoint_override",
                "https://{region_name}.blockstorage.api.rackspacecloud.com/v2/%(project_id)s",
            ),
            ("block_storage_api_version", "2"),
        ],
        ..active(
            "rackspace",
            "https://identity.api.rackspacecloud.com/v2.0/",
            &["DFW", "HKG", "IAD", "ORD", "SYD", "LON"],
        )
    },
    Vendor {
        settings: &[IDENTITY_V3],
        ..active("switchcloud", "https://identity.compute.cloud.switch.ch/v3", &["zhw", "zhc"])
    },
    Vendor {
        settings: &[IDENTITY_V3],
        ..active("switchengines", "https://keystone.cloud.switch.ch:5000/v3", &["LS", "ZH"])
    },
    shut_down("ultimum", "the provider has ceased business"),
    shut_down("unitedstack", "its API no longer responds"),
    remote("vexxhost", "https://vexxhost.com"),
    Vendor {
        settings: &[IDENTITY_V3, ("dns_api_version", "2")],
        ..active("zetta", "https://identity.api.zetta.io/v3", &["no-osl1"])
    },
];

/// Returns the settings of all profiles.
#[cfg(test)]
pub(crate) fn all_members() -> impl Iterator<Item = Mapping> {
    VENDORS.iter().map(Vendor::members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sorted() {
        assert!(VENDORS.is_sorted_by(|one, other| one.name < other.name));
    }

    #[test]
    fn a_usable_profile_has_an_https_url_and_a_region() {
        for vendor in VENDORS {
            if let Status::Active | Status::Deprecated(_) = vendor.status {
                let has_url = vendor.auth_url.starts_with("https://") || vendor.name == "bluebox";
                assert!(has_url && !vendor.regions.is_empty(), "{}", vendor.name);
            }
        }
    }
}
