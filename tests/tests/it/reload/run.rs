//! Under `adumbra run` the file is looked at, and SIGHUP stays the service's.

use rustix::process::Signal;
use tests::{Kept, Setup, Stage, eventually};

#[tokio::test]
async fn an_edit_is_taken_up_beside_the_service_that_it_leaves_alone() {
    let stage = Stage::default();
    let setup = Setup::alone("").unset("networks.private.upstreams").unset("listen.peers");
    let kept = Kept::start(setup.clone(), &stage, "service").await;
    let pid = kept.status().await["service"]["pid"].clone();
    let routed = setup.clone().route("name = \"new\"").set("networks.private.capacity", 3);
    std::fs::write(kept.config(), routed.text()).expect("there is room for files");
    eventually("it is in force", async || kept.status().await["routes"][0]["name"] == "new").await;
    let status = kept.status().await;
    assert_eq!((&status["service"]["pid"], &status["service"]["up"]), (&pid, &true.into()), "{status:#}");
    assert_eq!(status["networks"][0]["capacity"], 3);
    stage.go("a");
    assert_eq!(kept.get("/?key=a").await.status, 200, "the endpoint is the same");
    let given = routed.set("networks.private.upstreams", r#"["http://127.0.0.1:9"]"#);
    std::fs::write(kept.config(), given.text()).expect("there is room for files");
    let refused = r#"adumbra_config_reloads_total{outcome="refused"}"#;
    eventually("it is refused", async || kept.metric(refused).await == 1.0).await;
    assert!(kept.stderr().contains("`upstreams` cannot change while adumbra runs"), "{}", kept.stderr());
    let unchanged = kept.metric(r#"adumbra_config_reloads_total{outcome="unchanged"}"#).await;
    kept.signal(Signal::HUP);
    eventually("the service was told", async || kept.stdout().contains("told to reload")).await;
    assert_eq!(kept.metric(r#"adumbra_config_reloads_total{outcome="unchanged"}"#).await, unchanged);
}
