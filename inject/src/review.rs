//! What the API server asks when a pod is to be created, and what it is answered: AdmissionReview, `admission.k8s.io/v1`.
//!
//! The types are private mirrors of the few fields that are read; the object in a review stays as it came, since a patch is made
//! for exactly that. A review that is none is an error of whoever sent it ([`ReviewError`]); a pod that cannot have the sidecar
//! it asks for is refused, in words that `kubectl` shows; every other object is allowed as it is.

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::annotation::Settings;
use crate::object;
use crate::problem::{Quoted, Refusal};

/// The longest review, bytes. An API server takes objects of up to 3 MiB, and pods are not nearly that long.
pub const BYTES_MOST: usize = 3 << 20;

const VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// An identifier is a UUID of 36 characters.
const UID_MOST: usize = 128;
/// The longest refusal that is sent: longer ones help nobody.
const MESSAGE_MOST: usize = 4096;

/// Why there is no answer to a text.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is not JSON, or nested deeper than any pod.
    #[error("this is not an AdmissionReview in JSON, nested at most 128 deep: {0}")]
    Json(#[source] serde_json::Error),
    /// It is something else, or of another version.
    #[error(
        "this is {kind} of {version}; adumbra answers AdmissionReview of {VERSION}, so write `admissionReviewVersions: [v1]`"
    )]
    Version {
        /// The version that it says.
        version: Quoted,
        /// The kind that it says.
        kind: Quoted,
    },
    /// It asks nothing.
    #[error("this AdmissionReview has no `request`")]
    NoRequest,
    /// It cannot be answered.
    #[error("the request's `uid` must be 1 to {UID_MOST} characters, for the answer goes by it")]
    Uid,
    /// It contradicts itself.
    #[error("the request is for {said}, and its object says that it is {found}")]
    Mismatch {
        /// What the request says.
        said: Quoted,
        /// What the object says.
        found: Quoted,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    uid: String,
    kind: Kind,
    operation: String,
    sub_resource: Option<String>,
    #[serde(default)]
    object: Value,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// What became of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets a sidecar.
    Patched,
    /// It stays as it is.
    Untouched,
    /// It must not be created.
    Refused,
}

/// The answer to a review, as JSON.
///
/// # Errors
/// If it is none.
pub fn answer(body: &[u8], settings: &Settings) -> Result<(Vec<u8>, Verdict), ReviewError> {
    let asked: Asked = serde_json::from_slice(body).map_err(ReviewError::Json)?;
    if asked.api_version != VERSION || asked.kind != KIND {
        let (version, kind) = (Quoted::new(&asked.api_version), Quoted::new(&asked.kind));
        return Err(ReviewError::Version { version, kind });
    }
    let request = asked.request.filter(|request| !request.is_null()).ok_or(ReviewError::NoRequest)?;
    let request: Request = serde_json::from_value(request).map_err(ReviewError::Json)?;
    if request.uid.is_empty() || request.uid.len() > UID_MOST {
        return Err(ReviewError::Uid);
    }
    let (response, verdict) = respond(&request, settings)?;
    let answered = Answered { api_version: VERSION, kind: KIND, response };
    Ok((serde_json::to_vec(&answered).expect("these fields are JSON"), verdict))
}

fn respond<'r>(request: &'r Request, settings: &Settings) -> Result<(Response<'r>, Verdict), ReviewError> {
    let allowed = Response { uid: &request.uid, allowed: true, status: None, patch_type: None, patch: None };
    // What is there already cannot be given a container, and a pod's subresources are not pods.
    if request.operation != "CREATE" || request.sub_resource.as_deref().is_some_and(|sub| !sub.is_empty()) {
        return Ok((allowed, Verdict::Untouched));
    }
    agree(request)?;
    match object::patch(&request.object, settings) {
        Ok(plan) if plan.patch.is_empty() => Ok((allowed, Verdict::Untouched)),
        Ok(plan) => {
            let patch = ByteString(serde_json::to_vec(&plan.patch).expect("a patch is JSON"));
            Ok((Response { patch_type: Some("JSONPatch"), patch: Some(patch), ..allowed }, Verdict::Patched))
        }
        Err(refusals) => {
            let status = Status { code: 422, reason: "Invalid", message: message(&refusals) };
            Ok((Response { allowed: false, status: Some(status), ..allowed }, Verdict::Refused))
        }
    }
}

/// Whether the object is what the request says it is.
fn agree(request: &Request) -> Result<(), ReviewError> {
    let Kind { group, version, kind } = &request.kind;
    let said = if group.is_empty() { format!("{version}/{kind}") } else { format!("{group}/{version}/{kind}") };
    let text = |key| request.object.get(key).and_then(Value::as_str).unwrap_or_default();
    let found = format!("{}/{}", text("apiVersion"), text("kind"));
    if said == found {
        return Ok(());
    }
    Err(ReviewError::Mismatch { said: Quoted::new(&said), found: Quoted::new(&found) })
}

fn message(refusals: &[Refusal]) -> String {
    let mut message = String::from("adumbra does not inject: ");
    for (place, refusal) in refusals.iter().enumerate() {
        let more = format!("{}{refusal}", if place == 0 { "" } else { "; " });
        if message.len() + more.len() > MESSAGE_MOST {
            message += "; and more";
            break;
        }
        message += &more;
    }
    message
}

#[cfg(test)]
mod tests;
