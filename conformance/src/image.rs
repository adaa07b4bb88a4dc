//! What an image tool is proved at: a registry that does as a case wishes, and what the tool makes of it.
//!
//! ```text
//! Desk ── serves an Artifact ──> Registry <── HTTP ── image tool ──> bundle | layout | another repository
//!   └── looks at requests, at the tree (lstat), at config.json, at the layout's bytes
//! ```
//!
//! tool    command lines: which words make a tool unpack, copy, list      tree    what lies in a bundle
//! layout  OCI layouts on disk, written and read                          edit    documents changed by a case

mod edit;
mod layout;
mod tool;
mod tree;

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

pub use edit::{reconfigured, remade};
pub use layout::Layout;
pub use tool::{Ask, Tool};
pub use tree::{Bundle, Seen};

use crate::case::{Case, Verdict};
use crate::fixture::{Artifact, Image, Layer};
use crate::registry::Registry;
use crate::runtime::Outcome;

/// Where one case of the image side works: a tool, a registry and a folder of its own, and a deadline.
pub struct Desk {
    tool: Tool,
    registry: Registry,
    dir: TempDir,
    deadline: Instant,
    bundles: Cell<u32>,
}

impl Case<Desk> {
    /// Runs the case against an image tool; each call ends with the limit.
    pub fn run(&self, tool: &Tool, limit: Duration) -> Verdict {
        self.verdict(|| Desk::new(tool, limit))
    }
}

/// Unpacks the simplest image once: a tool that cannot do this would pass every case that wants an error.
pub fn try_out(tool: &Tool, limit: Duration) -> Result<()> {
    let desk = Desk::new(tool, limit)?;
    let image = Image::new().layer(&Layer::new().file("a", "1")).cmd(["/a"]).build()?;
    let tried = desk.unpack(&image).and_then(|bundle| bundle.text("a"));
    tried.map(drop).with_context(|| format!("{} does not unpack the simplest image", tool.name()))
}

impl Desk {
    fn new(tool: &Tool, limit: Duration) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("conformance-")
            .tempdir()
            .context("make a folder for the case")?;
        let registry = Registry::start().context("start the registry")?;
        let deadline = Instant::now() + limit;
        Ok(Self { tool: tool.clone(), registry, dir, deadline, bundles: Cell::new(0) })
    }

    /// The registry: faults, locks and what was asked of it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A folder of the case, deleted with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The place of a repository's image in the case's registry.
    pub fn place(&self, name: &str, tag: &str) -> String {
        format!("docker://{}", self.registry.reference(name, tag))
    }

    /// The same by digest.
    pub fn place_by_digest(&self, name: &str, digest: &str) -> String {
        format!("docker://{}/{name}@{digest}", self.registry.address())
    }

    /// Holds the image as `case:latest` and gives its place.
    pub fn serve(&self, image: &Artifact) -> String {
        self.registry.put("case", "latest", image);
        self.place("case", "latest")
    }

    /// Writes the image as an OCI layout and gives its place.
    pub fn lay_out(&self, image: &Artifact) -> Result<(Layout, String)> {
        let dir = self.dir().join("layout");
        let layout = Layout::write(&dir, "latest", image).context("write a layout")?;
        Ok((layout, format!("oci:{}:latest", dir.display())))
    }

    /// Unpacks from a place, and says how the tool ended.
    pub fn try_unpack(&self, source: &str, ask: &Ask) -> Result<(Outcome, Bundle)> {
        let number = self.bundles.replace(self.bundles.get() + 1);
        let bundle = self.dir().join(format!("bundle-{number}"));
        let outcome = self.tool.unpack(source, &bundle, ask, self)?;
        Ok((outcome, Bundle::new(bundle)))
    }

    /// Unpacks from a place, which has to succeed.
    pub fn unpack_from(&self, source: &str, ask: &Ask) -> Result<Bundle> {
        let (outcome, bundle) = self.try_unpack(source, ask)?;
        outcome.success().context("unpack")?;
        Ok(bundle)
    }

    /// Serves the image and unpacks it, which has to succeed.
    pub fn unpack(&self, image: &Artifact) -> Result<Bundle> {
        self.unpack_from(&self.serve(image), &Ask::default())
    }

    /// Unpacking from this place has to fail and to leave no bundle.
    pub fn refuses_place(&self, source: &str, what: &str) -> Result<()> {
        let (outcome, bundle) = self.try_unpack(source, &Ask::default())?;
        outcome.failure(&format!("unpack of {what}"))?;
        ensure!(bundle.config().is_err(), "unpack of {what} failed, yet there is a bundle");
        Ok(())
    }

    /// Unpacking this image from the registry has to fail and to leave no bundle.
    pub fn refuses(&self, image: &Artifact, what: &str) -> Result<()> {
        self.refuses_place(&self.serve(image), what)
    }

    /// Copies from place to place, and says how the tool ended.
    pub fn try_copy(&self, source: &str, destination: &str, ask: &Ask) -> Result<Outcome> {
        self.tool.copy(source, destination, ask, self)
    }

    /// Copies from place to place, which has to succeed.
    pub fn copy(&self, source: &str, destination: &str) -> Result<()> {
        self.try_copy(source, destination, &Ask::default())?.success().context("copy").map(drop)
    }

    /// Serves the image and copies it, with all that an index names, into a layout.
    pub fn copy_to_layout(&self, image: &Artifact) -> Result<Layout> {
        let dir = self.dir().join("copy");
        let ask = Ask { all: true, ..Ask::default() };
        let destination = format!("oci:{}:latest", dir.display());
        self.try_copy(&self.serve(image), &destination, &ask)?.success().context("copy")?;
        Ok(Layout::open(&dir))
    }

    /// Writes the image as a layout and pushes it, with all that an index names, to the registry as `pushed:latest`.
    pub fn push(&self, image: &Artifact) -> Result<()> {
        let (_, source) = self.lay_out(image)?;
        let ask = Ask { all: true, ..Ask::default() };
        self.try_copy(&source, &self.place("pushed", "latest"), &ask)?.success().context("push").map(drop)
    }

    /// The tags that the tool lists of a repository.
    pub fn tags(&self, name: &str) -> Result<Vec<String>> {
        self.tool.tags(&format!("{}/{name}", self.registry.address()), self)
    }

    /// The manifest or index as the tool prints it.
    pub fn manifest(&self, source: &str) -> Result<String> {
        self.tool.manifest(source, self)
    }

    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
