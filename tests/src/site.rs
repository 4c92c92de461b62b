//! Sidecars that know each other: a CA as `adumbra certs` makes one, and for each sidecar a directory with what it is given.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use certs::{Authority, SpiffeId, Terms};
use tempfile::TempDir;

use crate::sidecar::Setup;

/// The trust domain of all tests.
const DOMAIN: &str = "test.example";
/// The service of all tests.
const SERVICE: &str = "render";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A CA, and a directory for each sidecar.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    authority: Authority,
}

/// What one sidecar is given: its files stand where its configuration says, and are replaced there.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

/// From now, for a week.
#[must_use]
pub fn terms() -> Terms {
    Terms { from: SystemTime::now(), days: 7, replace: true }
}

/// Over in `left`.
#[must_use]
pub fn over_in(left: Duration) -> Terms {
    Terms { from: SystemTime::now() - DAY + left, days: 1, replace: true }
}

/// Over since yesterday.
#[must_use]
pub fn over() -> Terms {
    Terms { from: SystemTime::now() - 2 * DAY, days: 1, replace: true }
}

/// Not before tomorrow.
#[must_use]
pub fn to_come() -> Terms {
    Terms { from: SystemTime::now() + DAY, days: 7, replace: true }
}

/// The identity of the tests' service on `network`.
///
/// # Panics
/// If there can be none.
#[must_use]
pub fn id(network: &str) -> SpiffeId {
    SpiffeId::new(DOMAIN, network, SERVICE).expect("tests use good names")
}

impl Site {
    /// A CA.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn new() -> Self {
        Self::of(terms())
    }

    /// A CA that lives so long.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn of(terms: Terms) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let authority = Authority::init(&directory.path().join("ca"), DOMAIN, terms).expect("a CA can be made");
        Self { directory, authority }
    }

    /// A place for the sidecar on `network`, with a good certificate, the bundle and the list as it is.
    #[must_use]
    pub fn place(&self, network: &str) -> Place {
        self.place_of(network, &id(network))
    }

    /// A place that is called `name`, for the sidecar `id`.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn place_of(&self, name: &str, id: &SpiffeId) -> Place {
        let place = Place { directory: self.directory.path().join(name) };
        std::fs::create_dir_all(&place.directory).expect("there is room for files");
        place.put("trust.pem", self.authority.bundle_pem());
        self.give(&place, id, terms());
        self.give_list(&place);
        place
    }

    /// Gives a place another certificate.
    pub fn give(&self, place: &Place, id: &SpiffeId, terms: Terms) {
        let (certificate, key) = self.pair(id, terms);
        place.put("identity.key", &key);
        place.put("identity.pem", &certificate);
    }

    /// Gives a place the list as it is now.
    ///
    /// # Panics
    /// If there is none.
    pub fn give_list(&self, place: &Place) {
        let list = std::fs::read_to_string(self.authority.list()).expect("the CA has a list");
        place.put("crl.pem", &list);
    }

    /// Revokes the certificate that a place has.
    ///
    /// # Panics
    /// If it is not of this CA.
    pub fn revoke(&self, place: &Place) {
        self.authority.revoke(&place.file("identity.pem"), SystemTime::now()).expect("it is of this CA");
    }

    /// A certificate and its key.
    ///
    /// # Panics
    /// If it cannot be signed.
    #[must_use]
    pub fn pair(&self, id: &SpiffeId, terms: Terms) -> (String, String) {
        self.authority.sign(id, terms).expect("it can be signed")
    }

    /// The trust bundle.
    #[must_use]
    pub fn bundle(&self) -> &str {
        self.authority.bundle_pem()
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// One of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Puts a file there in one step, as whoever replaces certificates should.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn put(&self, name: &str, text: &str) {
        let beside = self.file(&format!("{name}.new"));
        std::fs::write(&beside, text).expect("there is room for files");
        std::fs::rename(&beside, self.file(name)).expect("a file can be put in place");
    }

    /// What stands in one of its files.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect("the file is there")
    }

    /// The pair that is there.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn pair(&self) -> certs::Pair {
        let read = |name: &str| std::fs::read(self.file(name)).expect("the file is there");
        certs::Pair::new(&read("identity.pem"), &read("identity.key")).expect("they are a pair")
    }

    /// `setup` as the sidecar of this place, which takes jobs from `peers`.
    #[must_use]
    pub fn sidecar(&self, setup: Setup, peers: &[&str]) -> Setup {
        let path = |name: &str| format!("{:?}", Path::new(&self.directory).join(name));
        let peers: Vec<String> = peers.iter().map(|network| format!("{:?}", id(network).to_string())).collect();
        setup
            .set("identity.certificate", path("identity.pem"))
            .set("identity.key", path("identity.key"))
            .set("identity.trust", path("trust.pem"))
            .set("identity.crl", format!("[{}]", path("crl.pem")))
            .set("identity.peers", format!("[{}]", peers.join(", ")))
            .set("identity.reload_every", r#""20ms""#)
    }
}
