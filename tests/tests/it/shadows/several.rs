//! A network of more than one sidecar: what runs on one is asked of that one, and what each reports is counted together.

use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually};

use super::{GET, asked, assert_ended, led, post};

const CAPACITY: &str = r#"adumbra_network_capacity{network="public"}"#;
const IN_FLIGHT: &str = r#"adumbra_network_in_flight{network="public"}"#;

/// A far sidecar with its service and so many slots.
async fn far(slots: u32) -> (Origin, Sidecar) {
    let service = Origin::held().await;
    let sidecar = Setup::alone(service.url()).set("networks.private.capacity", slots).start();
    (service, sidecar)
}

#[tokio::test]
async fn a_shadow_is_watched_and_adopted_where_it_runs() {
    let (private, (one, far_one), (two, far_two)) = (Origin::held().await, far(8).await, far(8).await);
    let near = led(Setup::with_peers(private.url(), &[&far_one, &far_two])).await;
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    // More often than there are endpoints: whichever is least busy then, it is not always the right one.
    for done in 1..=3 {
        let mut client = asked(&near, post("hello")).await;
        let mut lead = private.next().await;
        let mut shadow = tokio::select! { shadow = one.next() => shadow, shadow = two.next() => shadow };
        shadow.progress(0.9).await;
        lead.gone().await;
        shadow.release(Reply::ok("shadow")).await;
        assert_eq!(client.answer().await.decision().said(), ("public", "switched", "adopt"));
        assert_ended(&near, "public", "adopted", f64::from(done)).await;
    }
}

#[tokio::test]
async fn the_loads_of_all_sidecars_are_one_networks_load() {
    let (private, (one, far_one), (two, far_two)) = (Origin::held().await, far(3).await, far(2).await);
    let near = Setup::with_peers(private.url(), &[&far_one, &far_two]).start();
    near.metric_becomes(CAPACITY, 5.0).await;
    let mut clients = Vec::new();
    for (far, service) in [(&far_one, &one), (&far_one, &one), (&far_two, &two)] {
        let mut client = Raw::connect(far.jobs()).await;
        client.write(GET).await;
        clients.push((client, service.next().await));
    }
    near.metric_becomes(IN_FLIGHT, 3.0).await;
    // What is not there any more has no load.
    drop(clients.pop());
    far_two.stop().await;
    near.metric_becomes(CAPACITY, 3.0).await;
    near.metric_becomes(IN_FLIGHT, 2.0).await;
}

#[tokio::test]
async fn data_is_warmed_where_the_job_goes() {
    let data = Origin::answering(|_| Reply::ok("data").field("cache-control", "max-age=60")).await;
    let (private, one, two) = (Origin::held().await, Origin::held().await, Origin::held().await);
    let fetching =
        |service: &Origin| Setup::alone(service.url()).set("data.origins", format!("[{:?}]", data.url())).start();
    let (far_one, far_two) = (fetching(&one), fetching(&two));
    let near =
        Setup::with_peers(private.url(), &[&far_one, &far_two]).every(&format!("{}\nwarm = true", super::ON)).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut waiting = Vec::new();
    let mut warmed = [0.0; 2];
    for n in 0..4 {
        let mut client = Raw::connect(near.jobs()).await;
        let link = format!("link: <{}/{n}>; rel=preload", data.url());
        client.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{link}\r\n\r\n")).await;
        let (at, job) = tokio::select! { job = one.next() => (0, job), job = two.next() => (1, job) };
        warmed[at] += 1.0;
        waiting.push((client, job));
        let counted = async |far: &Sidecar| far.metric("adumbra_data_warmed_objects_total").await;
        eventually("it is warmed", async || {
            let there = [counted(&far_one).await, counted(&far_two).await];
            assert!(there[1 - at] <= warmed[1 - at], "it was warmed where the job is not: {there:?}, {warmed:?}");
            there == warmed
        })
        .await;
    }
}
