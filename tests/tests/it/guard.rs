//! The fixed rule watches the policy: some jobs are placed by it, and all of them where the policy turns out dearer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tests::{Origin, Reply, Setup, Sidecar, at_last, eventually};

const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// Where jobs went and why, and how many did.
async fn placed(sidecar: &Sidecar, jobs: usize) -> BTreeMap<(String, String), usize> {
    let mut placed = BTreeMap::new();
    for _ in 0..jobs {
        let decided = sidecar.get("/").await.decision();
        *placed.entry((decided.network, decided.reason)).or_default() += 1;
    }
    placed
}

#[tokio::test]
async fn blocks_of_jobs_are_placed_by_the_rule_and_compared() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).set("guard.share", "0.5").every(ON).start();
    sidecar.swap_model(tests::model::settled(0.05, 0.01));
    eventually("both arms have had their turns", async || {
        let placed = placed(&sidecar, 40).await;
        let expected = [("private", "guard"), ("public", "cheaper"), ("private", "fallback")];
        for (network, reason) in placed.keys() {
            assert!(expected.contains(&(network, reason)), "{placed:?}");
        }
        let guard = sidecar.status().await["guard"].clone();
        guard["policy_blocks"].as_u64().is_some_and(|n| n > 0) && guard["rule_blocks"].as_u64().is_some_and(|n| n > 0)
    })
    .await;
    assert!(sidecar.metric(r#"adumbra_decisions_total{reason="guard"}"#).await > 0.0);
    assert!(sidecar.metric(r#"adumbra_decisions_total{reason="cheaper"}"#).await > 0.0);
}

#[tokio::test]
async fn a_policy_that_is_dearer_gives_way_to_the_rule_and_says_so() {
    let (private, public) = (Origin::named("private").await, Arc::new(Origin::held().await));
    // The model is sure that the public side is five times as fast. It is slow: this is its work.
    let service = tokio::spawn({
        let public = Arc::clone(&public);
        async move {
            loop {
                let job = public.next_ever().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                job.release(Reply::ok("public")).await;
            }
        }
    });
    let sidecar = Setup::two(private.url(), public.url()).set("guard.share", "0.5").every(ON).start();
    sidecar.swap_model(tests::model::settled(0.05, 0.01));
    let fell_back = async || {
        placed(&sidecar, 20).await;
        sidecar.metric("adumbra_guard_fell_back").await == 1.0
    };
    at_last("the rule takes over", fell_back).await;
    assert_eq!(sidecar.metric(r#"adumbra_guard_verdicts_total{verdict="fell_back"}"#).await, 1.0);
    let guard = sidecar.status().await["guard"].clone();
    assert_eq!((guard["in_force"].as_str(), guard["fallbacks"].as_u64()), (Some("rule"), Some(1)), "{guard}");
    let by_rule = async || placed(&sidecar, 20).await.contains_key(&("private".to_owned(), "fallback".to_owned()));
    at_last("it places jobs", by_rule).await;
    service.abort();
}
