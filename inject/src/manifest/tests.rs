//! Files as people write them, before and after.

use serde_json::{Map, Value, json};

use super::*;
use crate::sidecar::{RULES, SIDECAR};
use crate::values::Image;

fn settings() -> Settings {
    Settings { image: Image::parse("adumbra:0.1.0").expect("an image"), annotations: Map::new() }
}

fn with(pairs: &[(&str, &str)]) -> Settings {
    let annotations = pairs.iter().map(|(key, value)| (format!("adumbra.dev/{key}"), json!(value))).collect();
    Settings { annotations, ..settings() }
}

fn injected(text: &str) -> Injected {
    inject(text, &settings()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(text: &str) -> Vec<String> {
    inject(text, &settings()).expect_err("it has faults").iter().map(ToString::to_string).collect()
}

fn value(text: &str) -> Value {
    yaml::load(text).expect("YAML").expect("a document").root.value()
}

const DEPLOYMENT: &str = "\
# The service.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: render   # its name
spec:
  replicas: 2
  selector: {matchLabels: {app: render}}
  template:
    metadata:
      # What it is.
      labels:
        app: render
      annotations:
        # Give it a sidecar.
        adumbra.dev/inject: \"true\"
        adumbra.dev/config: render
    spec:
      containers:
      - name: render
        image: render:1   # ours
        args: ['--mode', \"fast\"]
";

#[test]
fn every_line_of_a_document_stays_and_a_sidecar_comes_in() {
    let after = injected(DEPLOYMENT);
    let mut lines = after.text.lines();
    for line in DEPLOYMENT.lines() {
        assert!(lines.any(|after| after == line), "`{line}` is gone, or out of order:\n{}", after.text);
    }
    let pod = &value(&after.text)["spec"]["template"];
    assert_eq!(pod["spec"]["initContainers"][0]["name"], SIDECAR);
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(pod["spec"]["volumes"][0]["configMap"]["name"], "render");
    assert_eq!(pod["metadata"]["annotations"]["adumbra.dev/injected"], env!("CARGO_PKG_VERSION"));
    assert!(!after.done[0].anew);
}

#[test]
fn twice_is_once() {
    let once = injected(DEPLOYMENT).text;
    let twice = injected(&once);
    assert_eq!(twice.text, once);
    assert_eq!(twice.done[0].outcome, Outcome::Already);
}

#[test]
fn documents_that_ask_for_nothing_stay_byte_for_byte() {
    let others = [
        "# only a comment\n",
        "---\r\n\r\napiVersion: v1\r\nkind: Service   # CRLF\r\nmetadata: {name: a}\r\n",
        "---\nkind: Thing\napiVersion: example.com/v1\nspec: {on: yes, a: 0644}\n...\n",
        "---   # a comment\nkind: Pod\napiVersion: v1\nmetadata: &m\n  name: 'a'\nspec: {containers: [{name: a}]}\n",
    ];
    let text = format!("{}{}---\n{DEPLOYMENT}{}{}", others[0], others[1], others[2], others[3]);
    let after = injected(&text).text;
    assert!(after.starts_with(&format!("{}{}---\n# The service.\n", others[0], others[1])), "{after}");
    assert!(after.ends_with(&format!("{}{}", others[2], others[3])), "{after}");
    assert_ne!(after, text);
}

#[test]
fn lists_that_are_there_are_added_to_at_their_end() {
    let check = |lists: &str| {
        let text = DEPLOYMENT.replace("      containers:\n", &format!("{lists}      containers:\n"));
        let after = injected(&text);
        assert!(!after.done[0].anew, "{}", after.text);
        let pod = &value(&after.text)["spec"]["template"]["spec"];
        let names = |key: &str| -> Vec<String> {
            let list = pod[key].as_array().expect("a list");
            list.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
        };
        assert_eq!(names("initContainers"), ["first", SIDECAR]);
        assert_eq!(names("volumes"), ["data", "adumbra-config", "adumbra-state", "adumbra-spool"]);
        assert!(text.lines().all(|line| after.text.lines().any(|after| after == line)));
    };
    check(
        "      initContainers:\n      - name: first\n        image: a\n      volumes:\n      - name: data\n        emptyDir: {}\n",
    );
    // Indented, with a block scalar, a comment and blank lines at the end.
    check(
        "      initContainers:\n        - name: first\n          command:\n            - sh\n            - |\n              echo a\n\n      # And volumes.\n      volumes:\n        - name: data\n          configMap:\n            name: x   # no more\n\n",
    );
    check(
        "      initContainers:\n        - image: a\n          name: first\n          env: []\n      volumes:\n        - {name: data, emptyDir: {}}\n",
    );
}

#[test]
fn a_document_without_line_breaks_at_its_end_or_with_those_of_windows_stays_as_it_is() {
    let after = injected(DEPLOYMENT.trim_end()).text;
    assert_eq!(value(&after), value(&injected(DEPLOYMENT).text));
    let after = injected(&DEPLOYMENT.replace('\n', "\r\n")).text;
    assert_eq!(after, injected(DEPLOYMENT).text.replace('\n', "\r\n"));
}

#[test]
fn what_is_written_in_braces_is_written_anew_and_says_so() {
    let json = serde_json::to_string(&value(DEPLOYMENT)).expect("JSON");
    let after = injected(&json);
    assert!(after.done[0].anew && after.text.starts_with("{\n"), "{}", after.text);
    assert_eq!(value(&after.text), value(&injected(DEPLOYMENT).text));
    let text = "# kept\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {adumbra.dev/inject: 'true', adumbra.dev/config: c}}\nspec: {containers: [{name: a, image: 'yes'}]}\n";
    let after = injected(text);
    assert!(after.done[0].anew && after.text.starts_with("# kept\n---\n"), "{}", after.text);
    assert_eq!(value(&after.text)["spec"]["containers"][0]["image"], "yes");
    // An anchor: what is added in one place must not turn up in the other.
    let shared =
        DEPLOYMENT.replace("    spec:\n      containers", "    spec: &pod\n      containers") + "other: *pod\n";
    let after = injected(&shared);
    let other = value(&after.text)["other"].clone();
    assert_eq!(other, value(&shared)["other"]);
}

#[test]
fn every_kind_of_workload_is_found() {
    let pod =
        "metadata: {annotations: {adumbra.dev/inject: 'true', adumbra.dev/config: c}}\nspec: {containers: [{name: a}]}";
    let pod = value(pod);
    let object = |kind: &str, version: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let template = json!({"template": pod});
    let mut bare = pod.clone();
    (bare["kind"], bare["apiVersion"]) = (json!("Pod"), json!("v1"));
    let all = [
        bare.clone(),
        object("Deployment", "apps/v1", template.clone()),
        object("StatefulSet", "apps/v1", template.clone()),
        object("DaemonSet", "apps/v1", template.clone()),
        object("ReplicaSet", "apps/v1", template.clone()),
        object("ReplicationController", "v1", template.clone()),
        object("Job", "batch/v1", template.clone()),
        object("CronJob", "batch/v1", json!({"jobTemplate": {"spec": template}})),
    ];
    for object in &all {
        let after = injected(&object.to_string());
        assert_eq!(after.done.len(), 1, "{object}");
        assert_eq!(after.done[0].outcome, Outcome::Injected, "{object}");
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
    let after = injected(&list.to_string());
    assert_eq!(after.done.len(), all.len());
    assert_eq!(injected(&after.text).text, after.text);
    bare.as_object_mut().expect("an object").remove("kind");
    let pods = json!({"apiVersion": "v1", "kind": "PodList", "items": [bare]});
    assert_eq!(injected(&pods.to_string()).done[0].outcome, Outcome::Injected);
    // A kind of that name of somebody else's is not ours.
    assert!(injected(&object("Deployment", "example.com/v1", json!({"template": pod})).to_string()).done.is_empty());
}

#[test]
fn errors_name_the_document_the_path_and_what_to_do() {
    let bad = |from: &str, to: &str| faults(&format!("a: 1\n---\n{}", DEPLOYMENT.replace(from, to)));
    let at = "document 2, line 2 (Deployment render): spec.template.metadata.annotations";
    let check = |key: &str, value: &str, expected: &str| {
        let line = format!("adumbra.dev/config: render\n        {key}: {value}");
        assert_eq!(bad("adumbra.dev/config: render", &line), [format!("{at}[\"{key}\"]: {expected}")]);
    };
    check(
        "adumbra.dev/port",
        "\"8080 -j ACCEPT\"",
        "must be a port from 1 to 65535, in digits and nothing else; it says \"8080 -j ACCEPT\"",
    );
    check("adumbra.dev/port", "8080", "must be text, not a number; put it between quotes");
    check("adumbra.dev/cpu-requst", "\"1\"", "there is no such annotation; is it `adumbra.dev/cpu-request`?");
    check("adumbra.dev/frobnicate-it", "\"1\"", "there is no such annotation");
    check("adumbra.dev/admin-port", "\"15080\"", "the sidecar listens at 15080 for two things; give it two ports");
    let all = bad(
        "adumbra.dev/inject: \"true\"\n        adumbra.dev/config: render",
        "adumbra.dev/inject: yes\n        adumbra.dev/prot: '1'",
    );
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(
        all[0].ends_with("is it `adumbra.dev/port`?") && all[1].ends_with("not true or false; put it between quotes")
    );
    let none = bad("        adumbra.dev/config: render\n", "");
    assert!(none[0].contains("name the ConfigMap"), "{none:?}");
    let syntax = faults("a: 1\n---\nb: [\n");
    assert!(syntax[0].starts_with("document 2, line "), "{syntax:?}");
    let twice = bad("  replicas: 2\n", "  replicas: 2\n  replicas: 3\n");
    assert!(twice[0].contains("`replicas` is there twice"), "{twice:?}");
}

#[test]
fn what_cannot_have_a_sidecar_is_refused() {
    let check = |spec: &str, annotations: &[(&str, &str)], expected: &str| {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {spec}\n");
        let mut all = vec![("inject", "true"), ("config", "c")];
        all.extend(annotations);
        match inject(&text, &with(&all)) {
            Ok(_) => assert_eq!("", expected, "{text}"),
            Err(faults) => assert!(faults[0].to_string().contains(expected) && !expected.is_empty(), "{faults:#?}"),
        }
    };
    let probed =
        |port: &str, probe: &str| format!("{{containers: [{{name: a, ports: [{port}], readinessProbe: {probe}}}]}}");
    let intercept = [("intercept", "8080")];
    check("{containers: [{name: a}]}", &[], "");
    check("{hostNetwork: true, containers: [{name: a}]}", &[], "spec.hostNetwork: a pod with the node's own network");
    check("{os: {name: windows}, containers: [{name: a}]}", &[], "spec.os.name");
    check("{containers: {}}", &[], "spec.containers: must be a list, not a mapping");
    check("[]", &[], "spec: must be a mapping, not a list");
    check("{containers: [{name: adumbra}]}", &[], "spec.containers[0]: the name `adumbra` is the sidecar's");
    check("{containers: [{name: a}], volumes: [{name: adumbra-config}]}", &[], "spec.volumes[0]: the name");
    check(
        "{containers: [{name: a, ports: [{containerPort: 15080}]}]}",
        &[],
        "give it another one by `adumbra.dev/port`",
    );
    check("{containers: [{name: a, ports: [{containerPort: 15080, protocol: UDP}]}]}", &[], "");
    check(
        "{containers: [{name: a, securityContext: {runAsUser: 23862}}]}",
        &intercept,
        "run the service under another one",
    );
    check("{containers: [{name: a, securityContext: {runAsUser: 23862}}]}", &[], "");
    check(
        &probed("{containerPort: 8080, name: web}", "{tcpSocket: {port: web}}"),
        &intercept,
        "readinessProbe.tcpSocket: the port is intercepted",
    );
    check(&probed("{containerPort: 8080}", "{tcpSocket: {port: 8081}}"), &intercept, "");
    check(&probed("{containerPort: 8080}", "{tcpSocket: {port: 8081}}"), &[("intercept", "all")], "tcpSocket");
    check(&probed("{containerPort: 8080}", "{httpGet: {port: 8080}}"), &intercept, "");
    check(&probed("{containerPort: 8080}", "{httpGet: {port: 8080, scheme: HTTPS}}"), &intercept, "cannot read HTTPS");
    check("{containers: [{name: a}]}", &[("injected", "0.1.0")], "");
}

#[test]
fn rules_are_put_up_only_when_asked_for_and_before_the_sidecar_runs() {
    let names = |settings: &Settings| -> Vec<String> {
        let text = inject("apiVersion: v1\nkind: Pod\nspec:\n  containers: []\n", settings).expect("no faults").text;
        let containers = value(&text)["spec"]["initContainers"].as_array().expect("a list").clone();
        containers.iter().map(|container| container["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&with(&[("inject", "true"), ("config", "c")])), [SIDECAR]);
    assert_eq!(names(&with(&[("inject", "true"), ("config", "c"), ("intercept", "80")])), [RULES, SIDECAR]);
}

#[test]
fn a_label_asks_as_well_and_must_not_contradict() {
    let text = |label: &str, annotation: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {{{label}}}\n  annotations: {{adumbra.dev/config: c{annotation}}}\nspec:\n  containers: []\n"
        )
    };
    let on = "adumbra.dev/inject: 'true'";
    assert_eq!(injected(&text(on, "")).done[0].outcome, Outcome::Injected);
    assert_eq!(injected(&text("a: b", "")).done[0].outcome, Outcome::NotAsked);
    assert!(faults(&text(on, ", adumbra.dev/inject: 'false'"))[0].contains("say different things"));
    assert_eq!(injected(&text("adumbra.dev/inject: 'false'", "")).done[0].outcome, Outcome::NotAsked);
    let off = text("adumbra.dev/inject: 'false'", "");
    assert_eq!(inject(&off, &with(&[("inject", "true")])).expect("no faults").text, off);
}

#[test]
fn a_mark_without_a_sidecar_is_an_error() {
    let text = DEPLOYMENT
        .replace("adumbra.dev/config: render", "adumbra.dev/config: render\n        adumbra.dev/injected: 0.1.0");
    let faults = faults(&text);
    assert!(faults[0].contains("remove this annotation"), "{faults:?}");
}
