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

/// What the columns of a table say.
type Row = [String; 6];

impl List {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let containers = root.list()?;
        let mut owners = Owners::default();
        let text = match self.format {
            _ if self.quiet => containers.fold(String::new(), |all, c| all + c.id().as_str() + "\n"),
            Form::Table => {
                table(&containers.map(|container| owners.row(&container)).collect::<Result<Vec<_>>>()?)
            }
            Form::Json => {
                let states = containers.map(|container| owners.state(&container)).collect::<Result<_>>()?;
                return print(&serde_json::Value::Array(states));
            }
        };
        // In one piece, with the last line break: standard output is written to at each otherwise.
        std::io::stdout().write_all(text.as_bytes()).while_doing(|| "print")
    }
}

/// The names of the containers' users, each of which is looked up once.
#[derive(Default)]
struct Owners(BTreeMap<u32, String>);

impl Owners {
    fn of(&mut self, container: &Container) -> Result<&str> {
        let uid = container.owner()?;
        let name = || user::name(uid).unwrap_or_else(|| format!("#{uid}"));
        Ok(self.0.entry(uid).or_insert_with(name))
    }

    /// The state document with the owner's name.
    fn state(&mut self, container: &Container) -> Result<serde_json::Value> {
        let mut state = container.state()?;
        state["owner"] = self.of(container)?.into();
        Ok(state)
    }

    /// The same as words of a table.
    fn row(&mut self, container: &Container) -> Result<Row> {
        let (status, owner) = (container.status()?, self.of(container)?.to_owned());
        let (pid, bundle, created) = match container.record() {
            Ok(record) => {
                let bundle = record.bundle.to_string_lossy().into_owned();
                (record.pid(status).to_string(), bundle, record.created.clone())
            }
            Err(_) => Default::default(), // there is none yet
        };
        Ok([container.id().to_string(), pid, status.as_str().to_owned(), bundle, created, owner])
    }
}

/// Columns as wide as their widest word, and two blanks more, as runc's.
fn table(rows: &[Row]) -> String {
    const COLUMNS: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let width = |at: usize| {
        let widest = rows.iter().map(|row| row[at].chars().count()).max();
        widest.unwrap_or(0).max(COLUMNS[at].len()).max(10) + 2
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |words: [&str; 6]| {
        for (word, width) in words.into_iter().zip(widths) {
            text.push_str(word);
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(word.chars().count())));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(COLUMNS);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
    text
}
