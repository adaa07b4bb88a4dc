//! `list`: all containers of a root.

use std::collections::BTreeMap;
use std::io::Write;

use super::quick::{Given, Names, Quick};
use super::{Form, print};
use crate::container::{Container, Root};
use crate::error::{Result, WhileDoing};
use crate::user;

/// List the containers below --root
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    format: Form,
    /// Print the ids only
    #[arg(short, long)]
    quiet: bool,
}

impl Quick for List {
    const VALUES: Names = &[("--format", "-f")];
    const SWITCHES: Names = &[("--quiet", "-q")];

    fn take(given: &mut Given<'_>) -> Option<Self> {
        let format = given.choice("--format")?.unwrap_or_default();
        Some(Self { format, quiet: given.switch("--quiet") })
    }
}

impl List {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let containers = root.list()?;
        let mut out = std::io::stdout().lock();
        if self.quiet {
            return containers.iter().try_for_each(|c| writeln!(out, "{}", c.id()).while_doing(|| "print"));
        }
        let states = states(&containers)?;
        match self.format {
            Form::Json => print(&serde_json::Value::Array(states)),
            Form::Table => table(&mut out, &states).while_doing(|| "print"),
        }
    }
}

/// The state documents with the names of the containers' users, each of which is looked up once.
fn states(containers: &[Container]) -> Result<Vec<serde_json::Value>> {
    let mut names = BTreeMap::new();
    let state = |container: &Container| {
        let mut state = container.state()?;
        let uid = container.owner()?;
        let name = names.entry(uid).or_insert_with(|| user::name(uid).unwrap_or_else(|| format!("#{uid}")));
        state["owner"] = name.as_str().into();
        Ok(state)
    };
    containers.iter().map(state).collect()
}

/// Columns as wide as their widest word, and two blanks more, as runc's.
fn table(out: &mut impl Write, states: &[serde_json::Value]) -> std::io::Result<()> {
    const COLUMNS: [&str; 6] = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![COLUMNS.map(str::to_uppercase)];
    rows.extend(states.iter().map(|state| {
        COLUMNS.map(|column| match &state[column] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        })
    }));
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0).max(10) + 2;
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(word, width)| format!("{word:width$}")).collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
