//! `ps`: the processes of a container.

use std::io::Write;
use std::process::Command;

use super::{Form, print};
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::{Error, Kind, Result, WhileDoing};

/// Show the processes of a container
#[derive(Debug, clap::Args)]
pub(super) struct Ps {
    /// Form of the list: json is an array of process ids
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    format: Form,
    /// The container
    id: ContainerId,
    /// Words for ps(1), which makes the table; they must leave a column PID in it [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Ps {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let pids = root.open(&self.id)?.processes()?;
        if self.format == Form::Json {
            return print(&serde_json::json!(pids));
        }
        let words = if self.words.is_empty() { vec!["-ef".to_owned()] } else { self.words };
        let output = Command::new("ps").args(&words).output().while_doing(|| "run ps")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::new(Kind::Internal, format!("run ps: {}: {said}", output.status)));
        }
        let table = select(&String::from_utf8_lossy(&output.stdout), &pids)?;
        std::io::stdout().write_all(table.as_bytes()).while_doing(|| "print")
    }
}

/// The heading and the lines of those processes.
fn select(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|word| word == "PID")
        .ok_or_else(|| Error::invalid("ps printed no column PID"))?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(heading).chain(lines.filter(ours)).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_stay() {
        let table = "UID   PID  CMD\nroot    1  init\nroot   12  sleep 1\n";
        assert_eq!(select(table, &[12]).expect("selects"), "UID   PID  CMD\nroot   12  sleep 1\n");
        assert!(select("UID CMD\n", &[12]).is_err());
    }
}
