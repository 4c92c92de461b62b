//! What `adumbra explain` prints of an explanation and of a decision.

use policy::Reason;

use super::*;

#[test]
fn every_reason_has_a_meaning() {
    for reason in Reason::ALL {
        assert!(meaning(reason.as_str()).len() > reason.as_str().len() + 2, "{reason:?} is only a word");
    }
}

#[test]
fn a_decision_reads_as_text() {
    let line = serde_json::json!({
        "id": "0000000000000abc", "time": "2023-11-14T22:13:20.123Z", "route": "render", "class": "scene",
        "urgency": 3, "mode": "on", "plan": "lead", "level": "high", "plan_reason": "cheaper", "eligible": ["private", "public"],
        "worth": 0.1, "shadows": ["public"], "progress": { "public": { "share": 0.4, "source": "polled" } }, "target": "public", "action": "adopt", "reason": "switched",
        "predictions": { "private": {
            "mean_s": 1.0, "p10_s": 0.5, "p25_s": 0.7, "p50_s": 0.9, "p75_s": 1.2, "p90_s": 1.5, "doubt": 0.0
        } },
        "costs": { "private": 0.25 }, "model": 2, "status": 200, "outcome": "server_error", "took_s": 0.3, "head_s": 0.02,
        "request_bytes": 100, "response_bytes": 2048, "possibly_running": 1, "tree_path": ["body <= 200 bytes"]
    });
    let line: Line<'_> = serde_json::from_str(&line.to_string()).expect("a decision");
    let expected = "\
job 0000000000000abc was answered by public: switched, the evidence made it cheaper there

  2023-11-14T22:13:20.123Z: route render, class scene, urgency 3, shadowing on
  200, server error in 0.30 s (head after 20.0 ms); 100 B in, 2.0 KiB out
  plan lead (cheaper), level high, worth 0.100000; shadows on public; then adopt
  public was seen at 40 % (polled)
  1 given up on may still run
  model 2

    network  gates   predicted mean  80 % interval     cost
    private  passed  1.00 s          0.50 s to 1.50 s  0.250000
  > public   passed  -               -                 -

  path through the tree
    body <= 200 bytes
";
    assert_eq!(decision(&line), expected);
}

#[test]
fn a_preview_reads_as_text() {
    let explanation = serde_json::json!({
        "route": "render", "class": "", "urgency": 1, "mode": "on", "target": "private", "reason": "health",
        "plan": "probe", "level": "low", "shadows": ["private"], "window_s": 0.5, "worth": 0.0, "model": 0, "tree_path": [],
        "networks": [
            { "name": "private", "home": true, "shut": null, "in_flight": 2, "capacity": 4, "waiting_s": 0.0,
              "rtt_s": 0.0, "link_bytes_per_s": 0.0, "warm_bytes": 0, "prediction": null, "cost": 12.5 },
            { "name": "public", "home": false, "shut": "health", "in_flight": 0, "capacity": 0, "waiting_s": 2.0,
              "rtt_s": 0.05, "link_bytes_per_s": 0.0, "warm_bytes": 0, "prediction": null, "cost": null },
        ]
    });
    let explanation: Explanation<'_> = serde_json::from_str(&explanation.to_string()).expect("an explanation");
    let expected = "\
would go to private: health, the others are not healthy

  route render, urgency 1, shadowing on
  plan probe, level low: shadows on private for at most 0.50 s, worth 0
  no model in force: home first, spill when it is full

    network         gates         in flight  waits   predicted mean  80 % interval  cost
  > private (home)  passed        2 of 4     0.0 ms  -               -              12.500
    public          shut: health  0          2.05 s  -               -              -
";
    assert_eq!(preview(&explanation), expected);
}

#[test]
fn a_question_carries_the_method_and_the_headers() {
    let args = Args {
        journal: None,
        json: false,
        body_bytes: None,
        what: "/render?size=9".to_owned(),
        admin: String::new(),
        method: "POST".to_owned(),
        header: vec!["Priority: u=1".to_owned(), "X-Kind:scene".to_owned()],
    };
    let expected = "/explain?url=/render%3Fsize%3D9&method=POST&header=Priority%3A%20u%3D1&header=X-Kind%3Ascene";
    assert_eq!(question(&args), expected);
}
