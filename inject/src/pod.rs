//! One pod: what it must not be, and what is added to it.
//!
//! Objects are read as they are, not as types: what is not known here stays untouched, whatever version of Kubernetes it is
//! of.

use serde_json::{Map, Value, json};

use crate::annotation::{self, ADMIN_PORT, Asked, INJECTED, PORT, Settings, Wish};
use crate::object::Outcome;
use crate::patch::{Add, Path};
use crate::problem::{Problem, Refusal};
use crate::sidecar::{self, RULES, SIDECAR, USER};
use crate::values::Port;
use crate::workload::kind_of;

/// What is to be added to the pod at `path` of `object`.
pub(crate) fn patch(object: &Value, path: &Path, settings: &Settings) -> Result<(Vec<Add>, Outcome), Vec<Refusal>> {
    let pod = path.find(object);
    let metadata = path.key("metadata");
    let wish = annotation::read(metadata.find(object), &metadata.dotted(), settings)?;
    let Wish::Yes(asked) = wish else { return Ok((Vec::new(), Outcome::NotAsked)) };
    let at = path.key("spec");
    let spec = match at.find(object) {
        Some(Value::Object(spec)) => spec,
        other => {
            let found = other.map_or("nothing", kind_of);
            return Err(vec![Refusal::new(at.dotted(), Problem::Shape { wanted: "a mapping", found })]);
        }
    };
    let mut pod = Pod { spec, at: &at, asked: &asked, marked: is_marked(pod), refusals: Vec::new() };
    if pod.has_sidecar() {
        return if pod.refusals.is_empty() { Ok((Vec::new(), Outcome::Already)) } else { Err(pod.refusals) };
    }
    pod.check();
    if !pod.refusals.is_empty() {
        return Err(pod.refusals);
    }
    Ok((additions(object, path, spec, &asked), Outcome::Injected))
}

fn is_marked(pod: Option<&Value>) -> bool {
    pod.and_then(|pod| pod.get("metadata")?.get("annotations")?.get(INJECTED)).is_some()
}

struct Pod<'a> {
    spec: &'a Map<String, Value>,
    at: &'a Path,
    asked: &'a Asked,
    marked: bool,
    refusals: Vec<Refusal>,
}

impl<'a> Pod<'a> {
    /// Whether we were here before.
    fn has_sidecar(&mut self) -> bool {
        let names: Vec<(String, &str)> = self.containers().into_iter().filter_map(named).collect();
        let sidecar = names.iter().any(|(at, name)| *name == SIDECAR && at.contains("initContainers"));
        if !self.marked {
            for name in [SIDECAR, RULES] {
                for (at, _) in names.iter().filter(|(_, found)| *found == name) {
                    self.refusals.push(Refusal::new(at, Problem::NameTaken { name }));
                }
            }
        } else if !sidecar {
            let pod = self.at.dotted();
            let pod = pod.strip_suffix("spec").unwrap_or_default();
            self.refusals.push(Refusal::new(format!("{pod}metadata.annotations[\"{INJECTED}\"]"), Problem::NotThere));
        }
        self.marked && sidecar || !self.refusals.is_empty()
    }

    fn check(&mut self) {
        let at = |key: &str| self.at.key(key).dotted();
        if self.spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
            self.refusals.push(Refusal::new(at("hostNetwork"), Problem::HostNetwork));
        }
        let os = self.spec.get("os").and_then(|os| os.get("name")).and_then(Value::as_str);
        if os.is_some_and(|os| os != "linux") {
            self.refusals.push(Refusal::new(at("os.name"), Problem::NotLinux));
        }
        for key in ["containers", "initContainers", "volumes"] {
            match self.spec.get(key) {
                None | Some(Value::Null) if key != "containers" => {}
                Some(Value::Array(_)) => {}
                other => {
                    let found = other.map_or("nothing", kind_of);
                    self.refusals.push(Refusal::new(at(key), Problem::Shape { wanted: "a list", found }));
                }
            }
        }
        self.volumes();
        if self.asked.intercept.is_some() {
            self.user(self.spec.get("securityContext"), &at("securityContext"));
        }
        for (at, container) in self.containers() {
            self.container(&at, container);
        }
    }

    /// All containers, each with its place.
    fn containers(&self) -> Vec<(String, &'a Value)> {
        let mut all = Vec::new();
        for key in ["initContainers", "containers"] {
            let list = self.spec.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let path = self.at.key(key);
            all.extend(list.iter().enumerate().map(|(place, container)| (path.item(place).dotted(), container)));
        }
        all
    }

    fn volumes(&mut self) {
        let volumes = self.spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
        for (place, volume) in volumes.enumerate() {
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            if let Some(name) = sidecar::VOLUMES.into_iter().find(|own| *own == name) {
                let at = self.at.key("volumes").item(place).dotted();
                self.refusals.push(Refusal::new(at, Problem::NameTaken { name }));
            }
        }
    }

    fn container(&mut self, at: &str, container: &Value) {
        let ports = container.get("ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (place, port) in ports.iter().enumerate() {
            let number = port.get("containerPort").and_then(number);
            for (own, key) in [(self.asked.port, PORT), (self.asked.admin, ADMIN_PORT)] {
                if number == Some(own) && port.get("protocol").and_then(Value::as_str).is_none_or(|it| it == "TCP") {
                    let at = format!("{at}.ports[{place}]");
                    self.refusals.push(Refusal::new(at, Problem::PortTaken { port: own, key }));
                }
            }
        }
        if self.asked.intercept.is_none() {
            return;
        }
        self.user(container.get("securityContext"), &format!("{at}.securityContext"));
        for key in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if let Some(probe) = container.get(key) {
                self.probe(&format!("{at}.{key}"), probe, ports);
            }
        }
    }

    fn user(&mut self, context: Option<&Value>, at: &str) {
        let user = context.and_then(|context| context.get("runAsUser")).and_then(Value::as_i64);
        if user == Some(USER) {
            self.refusals.push(Refusal::new(format!("{at}.runAsUser"), Problem::SameUser { uid: USER }));
        }
    }

    /// A probe of an intercepted port goes through the sidecar. What is plain HTTP is answered by the service as before; of
    /// the rest the sidecar would answer for itself, or could not.
    fn probe(&mut self, at: &str, probe: &Value, ports: &[Value]) {
        for (key, secure) in [("tcpSocket", false), ("httpGet", true)] {
            let Some(action) = probe.get(key) else { continue };
            let Some(port) = action.get("port").and_then(|port| resolved(port, ports)) else { continue };
            // Another machine's port is not intercepted here.
            if action.get("host").is_some() || !self.intercepts(port) {
                continue;
            }
            let https = action.get("scheme").and_then(Value::as_str) == Some("HTTPS");
            match (secure, https) {
                (false, _) => self.refusals.push(Refusal::new(format!("{at}.{key}"), Problem::TcpProbe)),
                (true, true) => self.refusals.push(Refusal::new(format!("{at}.{key}"), Problem::HttpsProbe)),
                (true, false) => {}
            }
        }
    }

    fn intercepts(&self, port: Port) -> bool {
        self.asked.intercept.as_ref().is_some_and(|ports| ports.contains(port))
    }
}

fn named((at, container): (String, &Value)) -> Option<(String, &str)> {
    Some((at, container.get("name")?.as_str()?))
}

fn number(value: &Value) -> Option<Port> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).and_then(Port::new)
}

/// A port that may be named as the container names it.
fn resolved(port: &Value, ports: &[Value]) -> Option<Port> {
    let Some(name) = port.as_str() else { return number(port) };
    let named = ports.iter().find(|port| port.get("name").and_then(Value::as_str) == Some(name));
    named.and_then(|port| number(port.get("containerPort")?))
}

fn additions(object: &Value, path: &Path, spec: &Map<String, Value>, asked: &Asked) -> Vec<Add> {
    let mut patch = Vec::new();
    let metadata = path.key("metadata");
    let annotations = metadata.key("annotations");
    let version = Value::from(env!("CARGO_PKG_VERSION"));
    let mark = json!({ INJECTED: version });
    patch.push(match (metadata.find(object), annotations.find(object)) {
        (Some(Value::Object(_)), Some(Value::Object(_))) => Add { path: annotations.key(INJECTED), value: version },
        (Some(Value::Object(_)), _) => Add { path: annotations, value: mark },
        _ => Add { path: metadata, value: json!({ "annotations": mark }) },
    });
    let at = path.key("spec");
    let mut append = |key: &str, values: Vec<Value>| match spec.get(key) {
        Some(Value::Array(_)) => {
            let end = at.key(key).end();
            patch.extend(values.into_iter().map(|value| Add { path: end.clone(), value }));
        }
        _ => patch.push(Add { path: at.key(key), value: Value::Array(values) }),
    };
    append("initContainers", values(sidecar::containers(asked)));
    append("volumes", values(sidecar::volumes(asked)));
    patch
}

fn values<T: serde::Serialize>(typed: Vec<T>) -> Vec<Value> {
    let value = |typed| serde_json::to_value(typed).expect("Kubernetes' types are JSON");
    typed.into_iter().map(value).collect()
}
