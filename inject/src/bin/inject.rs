//! `adumbra inject`: manifests in, manifests with sidecars out. A program by itself, so that the sidecar is without it.
//!
//! Nothing is written unless all of it can be: whoever pipes this into `kubectl apply` gets every document or none.
//! Exit codes: 0 for success, 1 for a file with errors, 2 for a command line that makes no sense.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Parser;
use inject::annotation::{ALL, PREFIX, Settings};
use inject::manifest::{self, BYTES_MOST, Done, Injected};
use inject::object::Outcome;
use inject::values::Image;
use serde_json::{Map, Value};
use similar::TextDiff;

/// Put the sidecar into Kubernetes manifests; docs/inject.md says which annotations ask for it
#[derive(Debug, Parser)]
#[command(name = "adumbra inject", version)]
struct Args {
    /// The file; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: String,
    /// The sidecar's image, where no annotation names another
    #[arg(long, value_name = "IMAGE", default_value = concat!("adumbra:", env!("CARGO_PKG_VERSION")), value_parser = image)]
    image: Image,
    /// An annotation that every pod is taken to have, such as inject=true; a pod's own are stronger
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    set: Vec<(String, String)>,
    /// Say what would be done with each workload, and write no manifests
    #[arg(long)]
    dry_run: bool,
    /// Write what changes instead of the manifests
    #[arg(long)]
    diff: bool,
}

fn image(text: &str) -> Result<Image, String> {
    Image::parse(text).map_err(|error| error.to_string())
}

fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has no `=`")?;
    let key = if key.starts_with(PREFIX) { key.to_owned() } else { format!("{PREFIX}{key}") };
    if !ALL.iter().any(|(known, _)| *known == key) {
        return Err(format!("there is no annotation `{key}`"));
    }
    Ok((key, value.to_owned()))
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The file cannot be read.
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    /// Nobody takes what is written.
    #[error("cannot write to standard output: {0}")]
    Write(#[source] io::Error),
    /// It has errors, which have been said.
    #[error("nothing was injected; correct what is said above")]
    Faults,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough, as `head` does.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("adumbra inject: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let name = if args.filename == "-" { "standard input" } else { &args.filename };
    let text = read(&args.filename).map_err(|source| Failure::Read { name: name.to_owned(), source })?;
    let annotations: Map<_, _> =
        args.set.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let injected = manifest::inject(&text, &Settings { image: args.image.clone(), annotations }).map_err(|faults| {
        for fault in faults {
            eprintln!("{name}: {fault}");
        }
        Failure::Faults
    })?;
    let mut out = io::stdout().lock();
    if args.diff {
        let diff = TextDiff::from_lines(&text, &injected.text);
        let changes = diff.unified_diff().context_radius(3).header(name, "with the sidecar").to_string();
        out.write_all(changes.as_bytes()).map_err(Failure::Write)?;
    } else if args.dry_run {
        for done in &injected.done {
            writeln!(out, "{}", said(done)).map_err(Failure::Write)?;
        }
    } else {
        out.write_all(injected.text.as_bytes()).map_err(Failure::Write)?;
    }
    out.flush().map_err(Failure::Write)?;
    warn(name, &injected);
    Ok(())
}

fn read(filename: &str) -> io::Result<String> {
    // One byte more than is taken, so that what is too long is seen to be.
    let most = BYTES_MOST as u64 + 1;
    let mut text = String::new();
    match filename {
        "-" => io::stdin().lock().take(most).read_to_string(&mut text)?,
        file => File::open(file)?.take(most).read_to_string(&mut text)?,
    };
    Ok(text)
}

fn said(done: &Done) -> String {
    let what = match done.outcome {
        Outcome::Injected => "gets a sidecar",
        Outcome::Already => "has a sidecar already",
        Outcome::NotAsked => "asks for none",
    };
    let workload = &done.workload;
    let name = format!("{} {}", workload.kind.escape_debug(), workload.name.escape_debug());
    format!("document {}, line {}: {name} {what}", done.document, done.line)
}

fn warn(name: &str, injected: &Injected) {
    let mut documents: Vec<usize> = injected.done.iter().filter(|done| done.anew).map(|done| done.document).collect();
    documents.dedup();
    for document in documents {
        eprintln!(
            "{name}: document {document} is not written by indentation, so it was written anew: its comments are lost"
        );
    }
    if !injected.done.iter().any(|done| done.outcome != Outcome::NotAsked) {
        eprintln!(
            "{name}: nothing in it asks for a sidecar; annotate its pods with adumbra.dev/inject: \"true\", or say --set inject=true"
        );
    }
}
