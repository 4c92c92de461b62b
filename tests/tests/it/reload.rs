//! The configuration changes while the sidecar runs, and nobody notices but by what it says.

mod identities;
mod last_good;
mod listeners;
mod networks;
mod refused;
mod run;
mod saving;
mod under_load;

use tests::{Edited, Origin, Setup, Sidecar};

/// The lines of a route that may do everything.
const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// How often readings came to this.
async fn reloads(sidecar: &Sidecar, outcome: &str) -> f64 {
    sidecar.metric(&format!(r#"adumbra_config_reloads_total{{outcome="{outcome}"}}"#)).await
}

/// Two services of which the one away is the faster, and by the file's prices the cheaper.
async fn faster_away() -> (Origin, Origin, Setup, Edited) {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let setup = Setup::two(private.url(), public.url()).every(ON);
    let edited = Edited::start(&setup);
    edited.sidecar.swap_model(tests::model::settled(10.0, 9.0));
    assert_eq!(edited.sidecar.get("/").await.text(), "public");
    (private, public, setup, edited)
}

/// The same services, of which the one away is far too dear.
fn dear_away(setup: &Setup) -> Setup {
    setup.clone().set("networks.public.price", "{ slot_second = 99.0 }")
}
