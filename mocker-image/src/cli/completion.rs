//! `completion`, `man`: what shells and readers want to know, from the commands themselves.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Global, print};
use crate::error::{Context, Result};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Completion {
    /// The shell
    #[arg(value_name = "SHELL", required_unless_present = "names")]
    shell: Option<Shell>,
    /// Print the names of the images in the store instead: what the scripts ask for
    #[arg(long, conflicts_with = "shell")]
    names: bool,
}

impl Completion {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let Some(shell) = self.shell else { return print(names(global)?) };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "mocker-image", &mut script);
        print(with_names(shell, &String::from_utf8_lossy(&script)))
    }
}

/// A name a line; no store is made for the question.
fn names(global: &Global) -> Result<String> {
    let root = global.root()?;
    match root.join("refs").try_exists().while_doing(|| format!("look for {}", root.display()))? {
        false => Ok(String::new()),
        true => {
            let records = Store::open(&root)?.records()?;
            Ok(records.iter().map(|record| format!("{}\n", record.name)).collect())
        }
    }
}

/// The script of a shell, which also offers what is in the store.
fn with_names(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => {
            // Whatever the generator calls its function.
            let (function, _) = script.split_once("()").unwrap_or(("_mocker-image", ""));
            format!("{script}{}", BASH.replace("COMMANDS", function))
        }
        Shell::Fish => {
            let all = Cli::command();
            let takes = |c: &&clap::Command| {
                c.get_positionals().any(|arg| arg.get_value_names().is_some_and(|n| n[0].contains("IMAGE")))
            };
            let words: Vec<&str> = all.get_subcommands().filter(takes).map(clap::Command::get_name).collect();
            let seen = format!("__fish_seen_subcommand_from {}", words.join(" "));
            format!(
                "{script}complete -c mocker-image -n \"{seen}\" -f -a \"(mocker-image completion --names 2>/dev/null)\"\n"
            )
        }
        Shell::Zsh => {
            // Two colons would have the words before the first of many be forgotten, and that one be offered nothing.
            let many = |line: &str| line.replacen("'*::", "'*:", 1);
            let line = |line: &str| match line.starts_with("':") || line.starts_with("'*::") {
                true => many(line).replace(":_default'", ":_mocker_image_names'"),
                false => line.to_owned(),
            };
            let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
            let rest: Vec<String> = rest.lines().map(line).collect();
            format!("{first}\n{ZSH}{}\n", rest.join("\n"))
        }
        _ => script.to_owned(),
    }
}

/// Colons break words in bash, and names are full of them: what stands before the last one is there already.
const BASH: &str = r#"
_mocker_image_names() {
    COMMANDS "$@"
    local line="${COMP_LINE:0:COMP_POINT}" name
    local word="${line##* }"
    [ "$COMP_CWORD" -gt 1 ] && [[ $word != -* ]] || return 0
    for name in $(mocker-image completion --names 2>/dev/null); do
        [[ $name == "$word"* ]] || continue
        [[ $word == *:* ]] && name="${name#"${word%"${word##*:}"}"}"
        COMPREPLY+=("$name")
    done
}
complete -F _mocker_image_names -o nosort -o bashdefault -o default mocker-image
"#;

const ZSH: &str = r#"
_mocker_image_names() {
    local -a names
    names=(${(f)"$(mocker-image completion --names 2>/dev/null)"})
    compadd -- $names
    _default
}
"#;

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
