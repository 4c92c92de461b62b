//! `adumbra certs`, as an operator uses it: what it prints is a configuration that works.

use std::path::Path;

use tests::stranger::run;
use tests::{Binary, Origin, Raw, Setup, eventually};

/// Runs `adumbra certs` and hands back what it says, if it succeeds, and else what it complains of.
async fn certs(line: &str) -> Result<String, String> {
    let program = tokio::task::spawn_blocking(tests::binary::program).await.expect("no panic");
    let output = run(tokio::process::Command::new(program).arg("certs").args(line.split(' '))).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The values that stand behind keys in what was printed.
fn printed(said: &str, key: &str) -> String {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix("= "));
    line.unwrap_or_else(|| panic!("there is no `{key}` in {said}")).to_owned()
}

fn known(setup: Setup, said: &str) -> Setup {
    let keys = ["certificate", "key", "trust", "crl"];
    keys.iter().fold(setup, |setup, key| setup.set(&format!("identity.{key}"), printed(said, key)))
}

#[tokio::test]
async fn what_the_commands_print_is_a_configuration_that_works() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let ca = directory.path().join("ca");
    let ca = ca.display();
    certs(&format!("init {ca} --trust-domain corp.example")).await.expect("a CA is made");
    let near_said = certs(&format!("issue {ca} --network private --service ocr")).await.expect("it is issued");
    let far_said = certs(&format!("issue {ca} --network public --service ocr --days 1")).await.expect("it is issued");
    let complaint = certs(&format!("issue {ca} --network public --service ocr")).await.expect_err("it is there");
    assert!(complaint.contains("nothing was changed; `--force` replaces it"), "{complaint}");
    certs(&format!("issue {ca} --network public --service ocr --force")).await.expect("it was told to");

    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let peers = format!(r#"["{}"]"#, "spiffe://corp.example/private/ocr");
    let quick = r#""20ms""#;
    let far = known(Setup::alone(public.url()), &far_said).set("identity.peers", peers);
    let far = Binary::start(far.set("identity.reload_every", quick)).await;
    let near = known(Setup::two(private.url(), ""), &near_said)
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!(r#"["https://{}"]"#, far.peers()))
        .set("networks.public.identity", printed(&far_said, "identity"))
        .set("networks.private.capacity", "1")
        .set("networks.private.price", "{ slot_second = 1000.0 }");
    let near = Binary::start(near.every("shadow = \"on\"")).await;
    let answered = async || {
        let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        Raw::ask(near.jobs(), ask).await.text()
    };
    // No model knows yet, so a transfer needs a home that refuses.
    drop(private);
    eventually("a job runs on the far side", async || answered().await == "public").await;

    let own = Path::new(&printed(&near_said, "certificate").replace('"', "")).to_owned();
    certs(&format!("revoke {ca} {}", own.display())).await.expect("it is its own");
    let refused = r#"adumbra_peer_handshakes_refused_total{side="accept",reason="revoked"}"#;
    eventually("it is turned away", async || {
        // Its pool may still have a connection: it is cut, and the next one is refused.
        let _unavailable = answered().await;
        far.metric(refused).await >= 1.0
    })
    .await;
    assert!(far.log().contains("is cut"), "{}", far.log());
}
