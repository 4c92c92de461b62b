//! What is added to a pod: two containers at the most, and the volumes that they read.
//!
//! Kubernetes' own types, so that a name that Kubernetes does not know does not compile. What they say is argued in
//! docs/inject.md.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, ExecAction, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::annotation::{Amounts, Asked};

/// The sidecar's container.
pub const SIDECAR: &str = "adumbra";
/// The container that puts the rules up, and is gone before the service starts.
pub const RULES: &str = "adumbra-intercept";
/// The user that the sidecar runs as. A number that no image has: its traffic is not intercepted, and so must be nobody else's.
pub const USER: i64 = 23_862;
/// The port of the sidecar that a Service sends jobs to, by name.
pub const PORT_NAME: &str = "adumbra-jobs";

const CONFIG: &str = "adumbra-config";
const CERTIFICATES: &str = "adumbra-certificates";
const STATE: &str = "adumbra-state";
const SPOOL: &str = "adumbra-spool";
const CONFIG_FILE: &str = "/etc/adumbra/adumbra.toml";

/// The names of all volumes that may be added.
pub const VOLUMES: [&str; 4] = [CONFIG, CERTIFICATES, STATE, SPOOL];

/// The init containers for what was asked, in the order in which they run: rules first, and the sidecar last of all, so that
/// it is up before the service is.
#[must_use]
pub fn containers(asked: &Asked) -> Vec<Container> {
    let rules = asked.intercept.is_some().then(|| rules(asked));
    rules.into_iter().chain([sidecar(asked)]).collect()
}

/// A native sidecar: an init container that goes on running, which Kubernetes starts before the service, stops after it,
/// and does not wait for when a Job is done.
fn sidecar(asked: &Asked) -> Container {
    let mut mounts =
        vec![mount(CONFIG, "/etc/adumbra", true), mount(STATE, "/var/lib/adumbra", false), mount(SPOOL, "/tmp", false)];
    if asked.certificates.is_some() {
        mounts.push(mount(CERTIFICATES, "/etc/adumbra-certificates", true));
    }
    Container {
        name: SIDECAR.to_owned(),
        image: Some(asked.image.to_string()),
        command: words(&["/adumbra"]),
        args: words(&["serve", "--config", CONFIG_FILE]),
        restart_policy: Some("Always".to_owned()),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: i32::from(asked.port.number()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // A minute from the start to the first answer; then it is asked whether it takes jobs, which it denies while it drains.
        startup_probe: Some(probe(asked, 1, 60)),
        readiness_probe: Some(probe(asked, 5, 2)),
        resources: Some(resources(&asked.requests, &asked.limits)),
        security_context: Some(SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            ..confined(None)
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// Puts rules up and ends. It is root in the pod's own network and has the two capabilities for that, and no other.
fn rules(asked: &Asked) -> Container {
    Container {
        name: RULES.to_owned(),
        image: Some(asked.image.to_string()),
        command: words(&["/adumbra"]),
        args: words(&["intercept", "up", "--once", "--config", CONFIG_FILE]),
        resources: Some(resources(&asked.requests, &Amounts::default())),
        security_context: Some(SecurityContext {
            run_as_non_root: Some(false),
            run_as_user: Some(0),
            run_as_group: Some(0),
            ..confined(words(&["NET_ADMIN", "NET_RAW"]))
        }),
        volume_mounts: Some(vec![mount(CONFIG, "/etc/adumbra", true)]),
        ..Container::default()
    }
}

/// The volumes for what was asked.
#[must_use]
pub fn volumes(asked: &Asked) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let mut volumes = vec![Volume {
        name: CONFIG.to_owned(),
        // Whole, not file by file: so a change of the ConfigMap arrives by the swap of a link, and is taken up.
        config_map: Some(ConfigMapVolumeSource { name: asked.config.to_string(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }];
    volumes.extend(asked.certificates.as_ref().map(|secret| Volume {
        name: CERTIFICATES.to_owned(),
        secret: Some(SecretVolumeSource { secret_name: Some(secret.to_string()), ..SecretVolumeSource::default() }),
        ..Volume::default()
    }));
    volumes.extend([STATE, SPOOL].map(empty));
    volumes
}

/// What no container of ours may do.
fn confined(added: Option<Vec<String>>) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { add: added, drop: words(&["ALL"]) }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..SecurityContext::default()
    }
}

/// Asked from inside, since the operator's port is on loopback, where the kubelet does not get to.
fn probe(asked: &Asked, every_s: i32, failures: i32) -> Probe {
    let admin = format!("127.0.0.1:{}", asked.admin);
    Probe {
        exec: Some(ExecAction { command: words(&["/adumbra", "probe", "--admin", &admin]) }),
        period_seconds: Some(every_s),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(requests: &Amounts, limits: &Amounts) -> ResourceRequirements {
    let table = |amounts: &Amounts| {
        let cpu = amounts.cpu.as_ref().map(|cpu| ("cpu".to_owned(), Quantity(cpu.to_string())));
        let memory = amounts.memory.as_ref().map(|memory| ("memory".to_owned(), Quantity(memory.to_string())));
        let table: BTreeMap<_, _> = cpu.into_iter().chain(memory).collect();
        (!table.is_empty()).then_some(table)
    };
    ResourceRequirements { requests: table(requests), limits: table(limits), ..ResourceRequirements::default() }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every field that takes words may be left out")]
fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|&word| word.to_owned()).collect())
}
