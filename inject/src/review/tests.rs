//! Reviews as an API server sends them, and as it never would.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::values::Image;

fn settings() -> Settings {
    Settings { image: Image::parse("adumbra:0.1.0").expect("an image"), annotations: Map::new() }
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "render-7d4b9c-",
            "labels": {"app": "render", "adumbra.dev/inject": "true"},
            "annotations": {"adumbra.dev/config": "render"},
        },
        "spec": {"containers": [{"name": "render", "image": "render:1"}], "volumes": [{"name": "token"}]},
    })
}

fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "jobs",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn answered(review: &Value) -> (Value, Verdict) {
    let (answer, verdict) = answer(review.to_string().as_bytes(), &settings()).expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    (answer["response"].clone(), verdict)
}

fn error(review: &Value) -> String {
    answer(review.to_string().as_bytes(), &settings()).expect_err("it cannot be answered").to_string()
}

#[test]
fn a_pod_that_asks_gets_a_patch_that_only_adds() {
    let (response, verdict) = answered(&review(&pod()));
    assert_eq!(
        (verdict, &response["allowed"], &response["patchType"]),
        (Verdict::Patched, &json!(true), &json!("JSONPatch"))
    );
    let patch: ByteString = serde_json::from_value(response["patch"].clone()).expect("base64");
    let patch: Vec<Value> = serde_json::from_slice(&patch.0).expect("JSON");
    assert!(patch.iter().all(|operation| operation["op"] == "add"), "{patch:?}");
    assert_eq!(patch[0]["path"], "/metadata/annotations/adumbra.dev~1injected");
    assert_eq!(patch[1]["path"], "/spec/initContainers");
    assert_eq!(patch[2]["path"], "/spec/volumes/-");
}

#[test]
fn one_that_has_a_sidecar_is_not_given_another() {
    let plan = object::patch(&pod(), &settings()).expect("no faults");
    let mut patched = pod();
    crate::patch::apply(&mut patched, &plan.patch).expect("it fits");
    // Another webhook has been here since.
    patched["spec"]["containers"].as_array_mut().expect("a list").push(json!({"name": "other"}));
    assert_eq!(answered(&review(&patched)).1, Verdict::Untouched);
}

#[test]
fn what_does_not_ask_is_allowed_as_it_is() {
    let mut other = pod();
    other["metadata"]["labels"] = json!({"app": "render"});
    assert_eq!(
        answered(&review(&other)),
        (json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true}), Verdict::Untouched)
    );
    let mut update = review(&pod());
    update["request"]["operation"] = json!("UPDATE");
    assert_eq!(answered(&update).1, Verdict::Untouched);
    let mut exec = review(&Value::Null);
    exec["request"]["subResource"] = json!("exec");
    assert_eq!(answered(&exec).1, Verdict::Untouched);
}

#[test]
fn one_that_cannot_have_what_it_asks_for_is_refused_in_words() {
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut object = pod();
        change(&mut object);
        let (response, verdict) = answered(&review(&object));
        assert_eq!(
            (verdict, &response["allowed"], &response["patch"]),
            (Verdict::Refused, &json!(false), &Value::Null)
        );
        let message = response["status"]["message"].as_str().expect("words");
        assert!(message.contains(expected), "{message}");
    };
    refused(&|pod| pod["spec"]["hostNetwork"] = json!(true), "spec.hostNetwork: a pod with the node's own network");
    refused(
        &|pod| pod["metadata"]["annotations"]["adumbra.dev/intercept"] = json!("8080 -j ACCEPT"),
        "metadata.annotations[\"adumbra.dev/intercept\"]: must be \"all\", or ports from 1 to 65535",
    );
    refused(&|pod| pod["metadata"]["annotations"] = json!({}), "name the ConfigMap");
    refused(
        &|pod| pod["metadata"]["annotations"][format!("adumbra.dev/{}", "x".repeat(9000))] = json!(""),
        "no such annotation",
    );
}

#[test]
fn a_review_that_is_none_is_a_clear_error() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut review = review(&pod());
        change(&mut review);
        error(&review)
    };
    let old = changed(&|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1"));
    assert!(old.contains("\"admission.k8s.io/v1beta1\"") && old.contains("admissionReviewVersions: [v1]"), "{old}");
    assert!(changed(&|review| review["request"] = Value::Null).contains("no `request`"));
    assert!(changed(&|review| review["request"]["uid"] = json!("")).contains("`uid`"));
    assert!(changed(&|review| review["request"]["uid"] = json!(7)).contains("not an AdmissionReview"));
    assert!(changed(&|review| review["request"]["uid"] = json!("a".repeat(129))).contains("`uid`"));
    assert!(
        changed(&|review| review["request"]["object"]["kind"] = json!("Job")).contains("says that it is \"v1/Job\"")
    );
    assert!(changed(&|review| review["request"]["object"] = json!([])).contains("its object says"));
    assert!(error(&json!([])).contains("not an AdmissionReview"));
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let deep = review(&json!("DEEP")).to_string().replace("\"DEEP\"", &deep);
    let deep = answer(deep.as_bytes(), &settings()).expect_err("too deep").to_string();
    assert!(deep.contains("at most 128 deep"), "{deep}");
    assert!(answer(b"\xff", &settings()).is_err());
}

proptest! {
    #[test]
    fn no_annotation_puts_text_into_a_command_line(value in any::<String>(), key in 0_usize..11) {
        let mut object = pod();
        object["metadata"]["annotations"][crate::annotation::ALL[key].0] = json!(value.clone());
        let Ok(plan) = object::patch(&object, &settings()) else { return Ok(()) };
        for add in &plan.patch {
            for words in ["/command", "/args", "/startupProbe/exec/command", "/readinessProbe/exec/command"] {
                let words = add.value.pointer(words).and_then(Value::as_array).into_iter().flatten();
                for word in words.filter_map(Value::as_str) {
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:-".contains(&byte);
                    prop_assert!(word.bytes().all(plain), "{:?} from {:?}", word, value);
                }
            }
        }
    }
}
