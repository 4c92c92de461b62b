//! A trace goes on through adumbra: whatever runs a job, a shadow or a far sidecar's service, is told the client's trace as it came.

use tests::{Exchange, Origin, Raw, Reply, Setup};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "vendor=opaque,other=t61rcWkgMzE";
const ON: &str = "shadow = \"on\"\nrepeatable = true";

fn said<'e>(exchange: &'e Exchange, field: &str) -> Vec<&'e str> {
    exchange.request.fields.iter().filter(|(name, _)| name == field).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn whoever_runs_a_job_is_told_its_trace() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).set("shadow.sample_share", "1.0").every(ON).start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut client = Raw::connect(near.jobs()).await;
    let trace = format!("traceparent: {PARENT}\r\ntracestate: {STATE}\r\n");
    client.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{trace}\r\n")).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    for (who, exchange) in [("the lead", &lead), ("a shadow behind another sidecar", &shadow)] {
        assert_eq!(said(exchange, "traceparent"), [PARENT], "{who}");
        assert_eq!(said(exchange, "tracestate"), [STATE], "{who}");
    }
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    shadow.release(Reply::ok("shadow")).await;
}

#[tokio::test]
async fn a_job_without_a_trace_is_given_none() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let job = origin.next().await;
    assert!(said(&job, "traceparent").is_empty());
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}
