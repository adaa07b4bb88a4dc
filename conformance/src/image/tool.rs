//! Command lines of image tools.
//!
//! A tool is a table: for each verb the commands that do it, one after the other. `{source}` and its like are filled
//! in; a word like `{platform}` becomes as many words as the table's option has, or none.
//!
//! | `--image-tool` | commands |
//! |---|---|
//! | a program named `umoci` | `skopeo copy` into a layout and `umoci unpack` of it; `skopeo` for the rest |
//! | any other program | mocker-image's own: `unpack`, `copy`, `tags`, `manifest` |

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Desk;
use crate::fixture::Platform;
use crate::host;
use crate::runtime::{Outcome, Streams, run};

type Words = &'static [&'static str];

#[derive(Debug)]
struct Table {
    unpack: &'static [Words],
    copy: &'static [Words],
    tags: Words,
    manifest: Words,
    platform: Words,
    variant: Words,
    all: Words,
    rootless: Words,
    source_login: Words,
    destination_login: Words,
}

const MOCKER: Table = Table {
    unpack: &[&[
        "{tool}",
        "unpack",
        "--copy",
        "--root",
        "{work}/store",
        "--insecure-policy",
        "{platform}",
        "{login}",
        "{source}",
        "{destination}",
    ]],
    copy: &[&[
        "{tool}",
        "copy",
        "--root",
        "{work}/store",
        "--insecure-policy",
        "{all}",
        "{platform}",
        "{source-login}",
        "{destination-login}",
        "{source}",
        "{destination}",
    ]],
    tags: &["{tool}", "tags", "--json", "--root", "{work}/store", "{source}"],
    manifest: &["{tool}", "manifest", "--root", "{work}/store", "--insecure-policy", "{source}"],
    platform: &["--platform", "{os}/{architecture}"],
    variant: &["--platform", "{os}/{architecture}/{variant}"],
    all: &["--all"],
    rootless: &[],
    source_login: &["--src-creds", "{user}"],
    destination_login: &["--dest-creds", "{user}"],
};

const UMOCI: Table = Table {
    unpack: &[
        &[
            "skopeo",
            "{platform}",
            "--insecure-policy",
            "copy",
            "--src-tls-verify=false",
            "{source-login}",
            "{source}",
            "oci:{work}/between:image",
        ],
        &["{tool}", "unpack", "{rootless}", "--image", "{work}/between:image", "{destination}"],
    ],
    copy: &[&[
        "skopeo",
        "{platform}",
        "--insecure-policy",
        "copy",
        "{all}",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "{source-login}",
        "{destination-login}",
        "{source}",
        "{destination}",
    ]],
    tags: &["skopeo", "list-tags", "--tls-verify=false", "docker://{source}"],
    manifest: &["skopeo", "inspect", "--raw", "--tls-verify=false", "{source}"],
    platform: &["--override-os", "{os}", "--override-arch", "{architecture}"],
    variant: &[
        "--override-os",
        "{os}",
        "--override-arch",
        "{architecture}",
        "--override-variant",
        "{variant}",
    ],
    all: &["--all"],
    rootless: &["--rootless"],
    source_login: &["--src-creds", "{user}"],
    destination_login: &["--dest-creds", "{user}"],
};

/// What is asked for beside source and destination.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Take the image for this platform out of an index.
    pub platform: Option<Platform>,
    /// `user:password` for the registry.
    pub login: Option<String>,
    /// All images of an index.
    pub all: bool,
}

/// An image tool under test.
#[derive(Debug, Clone)]
pub struct Tool {
    program: PathBuf,
    table: &'static Table,
    env: Vec<(String, String)>,
}

impl Tool {
    /// The tool at this path, or of this name in PATH; see the table above.
    pub fn new(program: &Path) -> Result<Self> {
        let named = program.components().count() == 1;
        let found = if named { host::on_path(&program.to_string_lossy()) } else { None };
        let path = match found {
            Some(path) => path,
            None => std::path::absolute(program)?,
        };
        let table = if path.file_name().is_some_and(|name| name == "umoci") { &UMOCI } else { &MOCKER };
        Ok(Self { program: path, table, env: Vec::new() })
    }

    /// With one more variable in its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its file name.
    pub fn name(&self) -> String {
        self.program.display().to_string()
    }

    /// The first line of `--version`; for umoci with that of skopeo behind.
    pub fn version(&self) -> Result<String> {
        let first = |program: &Path| {
            let output = Command::new(program).arg("--version").envs(self.env.iter().cloned()).output();
            let output = output.with_context(|| format!("run {}", program.display()))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            anyhow::Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        let own = first(&self.program)?;
        Ok(match std::ptr::eq(self.table, &UMOCI) {
            true => format!("{own} with {}", first(Path::new("skopeo"))?),
            false => own,
        })
    }

    pub(super) fn unpack(&self, source: &str, bundle: &Path, ask: &Ask, desk: &Desk) -> Result<Outcome> {
        self.each(self.table.unpack, (source, &bundle.display().to_string()), ask, desk)
    }

    pub(super) fn copy(&self, source: &str, destination: &str, ask: &Ask, desk: &Desk) -> Result<Outcome> {
        self.each(self.table.copy, (source, destination), ask, desk)
    }

    pub(super) fn tags(&self, repository: &str, desk: &Desk) -> Result<Vec<String>> {
        let outcome = self.each(&[self.table.tags], (repository, ""), &Ask::default(), desk)?;
        let told = outcome.success().context("list tags")?.json()?;
        let list = if told.is_array() { told } else { told["Tags"].clone() };
        let list = list.as_array().cloned().context("no list of tags")?;
        Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(super) fn manifest(&self, source: &str, desk: &Desk) -> Result<String> {
        let outcome = self.each(&[self.table.manifest], (source, ""), &Ask::default(), desk)?;
        Ok(outcome.success().context("print the manifest")?.stdout)
    }

    /// The commands of a verb until one fails, from source to destination; what the last one left.
    fn each(&self, commands: &[Words], way: (&str, &str), ask: &Ask, desk: &Desk) -> Result<Outcome> {
        for (n, words) in commands.iter().enumerate() {
            let words = self.fill(words, way, ask, desk);
            let outcome = self.call(&words, desk)?;
            if !outcome.status.success() || n + 1 == commands.len() {
                return Ok(outcome);
            }
        }
        bail!("a verb without a command")
    }

    fn call(&self, words: &[String], desk: &Desk) -> Result<Outcome> {
        let (program, rest) = words.split_first().context("a command without a program")?;
        let home = desk.dir();
        let mut command = Command::new(program);
        command.args(rest).current_dir(home).stdin(Stdio::null());
        for variable in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        // credentials of the person who runs the suite are no part of it
        command.env("XDG_RUNTIME_DIR", home);
        command.env("HOME", home).env("TMPDIR", home).envs(self.env.iter().cloned());
        let streams = Streams { out: &home.join("tool.out"), err: &home.join("tool.err") };
        run(&mut command, desk.left(), &streams)
    }

    fn fill(&self, words: Words, (from, to): (&str, &str), ask: &Ask, desk: &Desk) -> Vec<String> {
        let platform = ask.platform.clone().unwrap_or_else(Platform::host);
        let (tool, work) = (self.name(), desk.dir().display().to_string());
        let plain = |word: &str| {
            word.replace("{tool}", &tool)
                .replace("{work}", &work)
                .replace("{source}", from)
                .replace("{destination}", to)
                .replace("{os}", &platform.os)
                .replace("{architecture}", &platform.architecture)
                .replace("{variant}", platform.variant.as_deref().unwrap_or_default())
                .replace("{user}", ask.login.as_deref().unwrap_or_default())
        };
        words.iter().flat_map(|word| self.option(word, ask).unwrap_or(vec![word])).map(plain).collect()
    }

    /// What a word that stands for an option becomes; nothing for a plain word.
    fn option(&self, word: &str, ask: &Ask) -> Option<Vec<&'static str>> {
        let table = self.table;
        let when = |given: bool, words: Words| Some(if given { words.to_vec() } else { Vec::new() });
        match word {
            "{platform}" => {
                let variant = ask.platform.as_ref().is_some_and(|platform| platform.variant.is_some());
                when(ask.platform.is_some(), if variant { table.variant } else { table.platform })
            }
            "{all}" => when(ask.all, table.all),
            "{rootless}" => when(!host::is_root(), table.rootless),
            "{login}" => when(ask.login.is_some(), &["--creds", "{user}"]),
            "{source-login}" => when(ask.login.is_some(), table.source_login),
            "{destination-login}" => when(ask.login.is_some(), table.destination_login),
            _ => None,
        }
    }
}
