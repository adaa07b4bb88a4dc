//! `completion`, `man`: what shells and readers want to know, from the commands themselves.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::{Cli, print};
use crate::error::{Context, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Completion {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

impl Completion {
    pub(super) fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mocker-image", &mut script);
        print(script)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for each command into this folder
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<()> {
        let mut all = Cli::command();
        all.build();
        let Some(dir) = &self.dir else { return print(page(&all, "mocker-image")) };
        let step = || format!("write the manual into {}", dir.display());
        std::fs::create_dir_all(dir).while_doing(step)?;
        write_all(&all, "mocker-image", dir).while_doing(step)
    }
}

/// A page for a command and one for each below it.
fn write_all(command: &clap::Command, name: &str, dir: &Path) -> Result<()> {
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command, name)).while_doing(|| format!("write {}", path.display()))?;
    let below = command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set());
    below.into_iter().try_for_each(|c| write_all(c, &format!("{name}-{}", c.get_name()), dir))
}

/// A command's page in the language of man(7).
fn page(command: &clap::Command, name: &str) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text =
        format!(".TH \"{}\" 1\n.SH NAME\n{} \\- {}\n", name.to_uppercase(), roff(name), roff(&about));
    let usage = command.clone().render_usage().to_string();
    text += &format!(".SH SYNOPSIS\n{}\n", roff(usage.trim_start_matches("Usage: ")));
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut options = String::new();
    for arg in args {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let words = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|l| format!("--{l}"))];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let value = arg.get_value_names().unwrap_or_default().join(" ");
        let takes = arg.get_action().takes_values() && !value.is_empty();
        let head = match (words.is_empty(), takes) {
            (true, _) => value,
            (false, true) => format!("{} {value}", words.join(", ")),
            (false, false) => words.join(", "),
        };
        options += &format!(".TP\n\\fB{}\\fR\n{}\n", roff(&head), roff(&help));
    }
    if !options.is_empty() {
        text += &format!(".SH OPTIONS\n{options}");
    }
    let below: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
    if !below.is_empty() {
        text += ".SH COMMANDS\n";
    }
    for c in below {
        let about = c.get_about().map(ToString::to_string).unwrap_or_default();
        text += &format!(".TP\n\\fB{}\\fR(1)\n{}\n", roff(&format!("{name}-{}", c.get_name())), roff(&about));
    }
    text + EXIT
}

const EXIT: &str = ".SH EXIT STATUS\n0 if all went well, 1 if not, 2 for a wrong command line, 128 + N if signal N \
    stopped it.\n.SH ENVIRONMENT\nREGISTRY_AUTH_FILE, DOCKER_CONFIG, CONTAINERS_REGISTRIES_CONF, SSL_CERT_FILE, \
    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SOURCE_DATE_EPOCH, TMPDIR, DOCKER_HOST, XDG_DATA_HOME.\n";

/// What roff would read as its own.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|l| if l.starts_with(['.', '\'']) { format!("\\&{l}") } else { l.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}
