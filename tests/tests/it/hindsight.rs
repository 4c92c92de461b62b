//! What jobs came to, beside what they would have come to elsewhere: counted, and shown on `/status`.

use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// One job, answered at home, of which a sample has run to its end on the public network before. What a second of a slot costs on
/// the two is so different that nothing else counts.
async fn sampled(private_price: &str, public_price: &str) -> Sidecar {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.private.price", format!("{{ slot_second = {private_price} }}"))
        .set("networks.public.price", format!("{{ slot_second = {public_price} }}"))
        .set("shadow.sample_share", "1.0")
        .every(ON)
        .start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow")).await;
    sidecar.metric_becomes("adumbra_labels_total", 1.0).await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    sidecar.metric_becomes("adumbra_labels_total", 2.0).await;
    sidecar
}

#[tokio::test]
async fn a_job_seen_on_two_networks_says_whether_the_better_one_answered() {
    let good = sampled("0.0", "1e5").await;
    good.metric_becomes(r#"adumbra_paired_jobs_total{answered="better"}"#, 1.0).await;
    assert_eq!(good.metric("adumbra_regret_total").await, 0.0);
    let bad = sampled("1e5", "0.0").await;
    bad.metric_becomes(r#"adumbra_paired_jobs_total{answered="worse"}"#, 1.0).await;
    assert!(bad.metric("adumbra_regret_total").await > 0.0);
    let regret = &bad.status().await["regret"];
    assert_eq!((&regret["paired_jobs"], &regret["worse"]), (&1.into(), &1.into()), "{regret}");
    assert!(regret["cost"].as_f64().is_some_and(|cost| cost > 0.0), "{regret}");
}

#[tokio::test]
async fn a_job_is_compared_with_each_network_that_was_predicted_if_it_ended_well() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    // A second is worth one, and nothing else costs anything: what a job came to is how long it took.
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.private.price", "{ slot_second = 0.0, congestion = 0.0 }")
        .set("networks.public.price", "{ slot_second = 0.0, congestion = 0.0 }")
        .set("pricing.time_value_per_second", 1)
        .every("shadow = \"off\"")
        .start();
    let ask = async |reply: Reply| {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write(GET).await;
        let exchange = tokio::select! {
            exchange = private.next() => exchange,
            exchange = public.next() => exchange,
        };
        exchange.release(reply).await;
        client.answer().await
    };
    assert_eq!(ask(Reply::ok("before there is a model")).await.status, 200);
    sidecar.swap_model(tests::model::settled(1000.0, 3000.0));
    assert_eq!(ask(Reply::of(404, "none")).await.status, 404);
    assert_eq!(ask(Reply::of(500, "ill")).await.status, 500);
    assert_eq!(ask(Reply::ok("well")).await.status, 200);
    sidecar.metric_becomes(r#"adumbra_compared_jobs_total{network="private"}"#, 1.0).await;
    sidecar.metric_becomes(r#"adumbra_compared_jobs_total{network="public"}"#, 1.0).await;
    let status = sidecar.status().await;
    let of = |network: usize, figure: &str| status["networks"][network]["compared"][figure].as_f64().expect("a figure");
    for (network, there) in [(0, 1000.0), (1, 3000.0)] {
        assert!((of(network, "cost_there") / there - 1.0).abs() < 0.1, "{status}");
        assert!(of(network, "cost") > 0.0 && of(network, "cost") < 500.0, "{status}");
        assert!((of(network, "saved") - of(network, "cost_there") + of(network, "cost")).abs() < 1e-3, "{status}");
    }
}

#[tokio::test]
async fn what_is_charged_is_counted_for_good() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("networks.private.price", "{ slot_second = 10.0 }").every("").start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(GET).await;
    origin.next().await.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    let spent = r#"adumbra_spent_total{network="private"}"#;
    eventually("it is charged", async || sidecar.metric(spent).await > 0.0).await;
    let (counted, shown) =
        (sidecar.metric(spent).await, sidecar.metric(r#"adumbra_network_spent_day{network="private"}"#).await);
    assert!((counted - shown).abs() < 1e-5, "{counted} and {shown}");
}
