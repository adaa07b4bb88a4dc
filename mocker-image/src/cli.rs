//! The command line: words to one call, results to stdout, progress and errors to stderr.

mod again;
mod append;
mod author;
mod board;
mod commit;
mod completion;
mod config;
mod copy;
mod diff;
mod digest;
mod gc;
mod inspect;
mod list;
mod login;
mod logout;
mod pull;
mod push;
mod remove;
mod search;
mod shape;
mod sign;
mod sync;
mod tag;
mod tags;
mod transfer;
mod unpack;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::error::{Context, Error, Kind, Result};
use crate::image::Source;
use crate::image::platform::Platform;
use crate::place::{Opening, Place};
use crate::progress::{Bar, Teller};
use crate::reference::Reference;
use crate::registry::Settings;
use crate::store::Store;
use crate::{home, interrupt, userns};

/// Turns registry images into OCI bundles
#[derive(Debug, Parser)]
#[command(name = "mocker-image", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands, before or after its name.
#[derive(Debug, Args)]
struct Global {
    /// The store [default: /var/lib/mocker for root, else $XDG_DATA_HOME/mocker or ~/.local/share/mocker]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Which images are taken at all: policy.json [default: $XDG_CONFIG_HOME/containers, else /etc/containers]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "insecure_policy")]
    policy: Option<PathBuf>,
    /// Take images whatever policy.json says
    #[arg(long, global = true)]
    insecure_policy: bool,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// What a layer or an archive may unpack to, in bytes [default: 1 GiB, and 200 times its own size]
    #[arg(long, global = true, value_name = "BYTES")]
    max_unpacked: Option<std::num::NonZeroU64>,
    /// How often a request is repeated that may go well later [default: 4]
    #[arg(long, global = true, value_name = "TIMES")]
    retry_times: Option<u32>,
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// Which image of several, and how its registry is spoken to.
#[derive(Debug, Args)]
struct Remote {
    /// Take the image for this platform: os/architecture or os/architecture/variant
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    access: Access,
}

/// How a registry is spoken to.
#[derive(Debug, Args)]
struct Access {
    #[command(flatten)]
    trust: Trust,
    /// User and password for the registry
    #[arg(long, value_name = "USER:PASSWORD", value_parser = credentials)]
    creds: Option<(String, String)>,
    /// The file of credentials [default: REGISTRY_AUTH_FILE, else podman's and docker's]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

/// What proves a registry to be the right one.
#[derive(Debug, Args)]
struct Trust {
    /// A registry (host or host:port) that needs no valid certificate, nor TLS; may be repeated
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// With false: every registry is insecure
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", require_equals = true)]
    tls_verify: bool,
    /// A folder with authorities (*.crt) and a client certificate (*.cert with *.key)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pull an image into the store
    Pull(pull::Pull),
    /// Copy an image from any place to any other
    #[command(visible_alias = "cp")]
    Copy(copy::Copy),
    /// Push an image of the store to a registry, or to any other place
    Push(push::Push),
    /// Make a bundle (config.json and rootfs) from an image, pulling what is missing
    Unpack(unpack::Unpack),
    /// Show what a container changed in its bundle: A added, C changed, D deleted
    Diff(diff::Diff),
    /// Make an image of a bundle's changes
    #[command(visible_alias = "repack")]
    Commit(commit::Commit),
    /// Change what an image says of itself: entrypoint, variables, labels, user ...
    #[command(visible_alias = "mutate")]
    Config(Box<config::Config>),
    /// Put archives on an image as layers
    Append(append::Append),
    /// umoci's plumbing
    #[command(subcommand)]
    Raw(append::Raw),
    /// Put a file or a folder into an image as a layer
    Insert(append::Insert),
    /// Make an image without layers
    New(append::New),
    /// Make an image of one layer from an archive of a root file system
    Import(append::Import),
    /// Write an image's root file system as one archive
    Export(shape::Export),
    /// Make an image's layers one
    Flatten(shape::Flatten),
    /// Put an image's own layers on another base
    Rebase(shape::Rebase),
    /// Show an image's history with its layers
    Stat(shape::Stat),
    /// Make an empty OCI layout
    Init(append::Init),
    /// List the images in the store
    #[command(visible_alias = "images")]
    List(list::List),
    /// Tell what an image is, from the store or else from its registry
    Inspect(inspect::Inspect),
    /// Print the digest that a name stands for, in any place
    Digest(digest::Digest),
    /// Print an image's manifest or index, byte by byte
    Manifest(digest::Manifest),
    /// Print the digest of a manifest in a file
    ManifestDigest(digest::ManifestDigest),
    /// Find repositories: a registry's catalogue, or Docker Hub's search
    #[command(visible_alias = "catalog")]
    Search(search::Search),
    /// Copy all tags of a repository, or all images of a folder
    Sync(Box<sync::Sync>),
    /// Write a shell's completions
    Completion(completion::Completion),
    /// Write the manual pages
    Man(completion::Man),
    /// List the tags of a repository at its registry, or the names in a layout or an archive
    #[command(visible_aliases = ["list-tags", "ls"])]
    Tags(tags::Tags),
    /// Give an image one more name: in the store, at its registry, or in a layout
    Tag(tag::Tag),
    /// Remove images from the store
    #[command(visible_aliases = ["rmi", "rm", "delete"])]
    Remove(remove::Remove),
    /// Free what no image of the store needs
    Gc(gc::Gc),
    /// Sign an image at its registry, in cosign's format
    #[command(visible_alias = "standalone-sign")]
    Sign(sign::Sign),
    /// Make a pair of keys to sign with
    #[command(visible_aliases = ["generate-sigstore-key", "generate-key-pair"])]
    GenerateKey(sign::GenerateKey),
    /// Check everything in the store, or an image in any place, against its digests
    #[command(visible_alias = "validate")]
    Verify(verify::Verify),
    /// Keep user and password for a registry
    Login(login::Login),
    /// Forget user and password for a registry
    Logout(logout::Logout),
}

/// Runs the program; 0 if all went well, 1 if not, 2 for a wrong command line, 128 + N for signal N.
pub fn main() -> ExitCode {
    if std::env::var_os("MOCKER_IMAGE_USERNS").is_some()
        && let Err(e) = userns::enter()
    {
        return failed(&e);
    }
    let cli = Cli::parse();
    match cli.again() {
        Ok(None) => {}
        Ok(Some(code)) => return code,
        Err(e) => return failed(&e),
    }
    if let Some(most) = cli.global.max_unpacked {
        crate::layer::unpacked::allow(most.get());
    }
    if let Some(times) = cli.global.retry_times {
        crate::registry::retry::allow(times);
    }
    let done = match &cli.command {
        Command::Pull(pull) => pull.run(&cli.global),
        Command::Copy(copy) => copy.run(&cli.global),
        Command::Config(config) => config.run(&cli.global),
        Command::Append(append) => append.run(&cli.global),
        Command::Raw(raw) => raw.run(&cli.global),
        Command::Insert(insert) => insert.run(&cli.global),
        Command::New(new) => new.run(&cli.global),
        Command::Import(import) => import.run(&cli.global),
        Command::Export(export) => export.run(&cli.global),
        Command::Flatten(flatten) => flatten.run(&cli.global),
        Command::Rebase(rebase) => rebase.run(&cli.global),
        Command::Stat(stat) => stat.run(&cli.global),
        Command::Init(init) => init.run(&cli.global),
        Command::Search(search) => search.run(&cli.global),
        Command::Sync(sync) => sync.run(&cli.global),
        Command::Completion(completion) => completion.run(&cli.global),
        Command::Man(man) => man.run(),
        Command::Diff(diff) => diff.run(&cli.global),
        Command::Commit(commit) => commit.run(&cli.global),
        Command::Push(push) => push.run(&cli.global),
        Command::Digest(digest) => digest.run(&cli.global),
        Command::Manifest(manifest) => manifest.run(&cli.global),
        Command::ManifestDigest(manifest) => manifest.run(&cli.global),
        Command::Unpack(unpack) => unpack.run(&cli.global),
        Command::List(list) => list.run(&cli.global),
        Command::Inspect(inspect) => inspect.run(&cli.global),
        Command::Tags(tags) => tags.run(&cli.global),
        Command::Tag(tag) => tag.run(&cli.global),
        Command::Remove(remove) => remove.run(&cli.global),
        Command::Sign(sign) => sign.run(&cli.global),
        Command::GenerateKey(generate) => generate.run(&cli.global),
        Command::Gc(gc) => gc.run(&cli.global),
        Command::Verify(verify) => verify.run(&cli.global),
        Command::Login(login) => login.run(&cli.global),
        Command::Logout(logout) => logout.run(&cli.global),
    };
    board::clear();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(&e),
    }
}

fn failed(e: &Error) -> ExitCode {
    let hint = e.advice().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    // Where stderr is closed nobody would hear of that either.
    drop(writeln!(io::stderr(), "mocker-image: {e}{hint}"));
    match e.kind() {
        Kind::Interrupted(signal) => u8::try_from(128 + signal).map_or(ExitCode::FAILURE, ExitCode::from),
        _ => ExitCode::FAILURE,
    }
}

impl Global {
    /// Prints what a command found or did: as JSON where that was asked for.
    fn answer(&self, value: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<()> {
        match self.json {
            true => print(format!("{:#}\n", value())),
            false => print(text()),
        }
    }

    fn root(&self) -> Result<PathBuf> {
        self.root.clone().map_or_else(home::store, Ok)
    }

    /// Whether the store has an image of this name; no store is made for the question.
    fn has(&self, reference: &Reference) -> Result<bool> {
        let root = self.root()?;
        let there = root.join("refs").try_exists().while_doing(|| format!("look for {}", root.display()))?;
        Ok(there && Store::open(&root)?.record(reference)?.is_some())
    }

    fn store(&self) -> Result<Arc<Store>> {
        Ok(Arc::new(Store::open(&self.root()?)?))
    }
}

impl Remote {
    fn settings(&self) -> Settings {
        self.access.settings()
    }
}

impl Access {
    fn settings(&self) -> Settings {
        let (credentials, authfile) = (self.creds.clone(), self.authfile.clone());
        Settings { credentials, authfile, ..self.trust.settings() }
    }
}

impl Trust {
    fn settings(&self) -> Settings {
        Settings {
            insecure: self.insecure_registry.clone(),
            any_insecure: !self.tls_verify,
            cert_dir: self.cert_dir.clone(),
            ..Settings::default()
        }
    }
}

impl Remote {
    /// Opens a place to read from. A name that nothing says more of is the store's, if it has it.
    fn source(&self, global: &Global, place: &Place) -> Result<Box<dyn Source>> {
        let settings = self.settings();
        let store = || global.store();
        let opening = Opening::new(&store, &settings);
        match place {
            Place::Registry(reference, false) if global.has(reference)? => {
                Place::Store(reference.clone()).source(&opening)
            }
            place => place.source(&opening),
        }
    }
}

impl Teller for Global {
    fn tell(&self, line: &str) {
        if !self.quiet {
            board::tell(line);
        }
    }

    fn follow(&self, name: &str, total: u64) -> Bar {
        if self.quiet {
            return Bar::default();
        }
        let bar = Bar::new(name, total);
        board::follow(&bar);
        bar
    }
}

fn credentials(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), password.to_owned())),
        _ => Err("not USER:PASSWORD".to_owned()),
    }
}

/// Waits for a registry, or for a signal.
fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.while_doing(|| "prepare for input and output")?.block_on(interrupt::heed(work))
}

/// Writes a result; a reader that has enough (`| head`) is no failure.
fn print(text: impl AsRef<[u8]>) -> Result<()> {
    match io::stdout().write_all(text.as_ref()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::from(e).step("write the result")),
        _ => Ok(()),
    }
}
