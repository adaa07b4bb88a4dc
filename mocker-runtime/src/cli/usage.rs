//! `usage`: what the containers of a root cost.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use super::print;
use crate::container::Root;
use crate::container::usage::{self, Sum};
use crate::error::{Result, WhileDoing};

/// Print what all containers below --root use: how many, their time, cpu time and memory
///
/// A container counts from create to delete, whether it runs or not. With a journal (--journal, once) the sums
/// keep those that were deleted, and so never shrink.
#[derive(Debug, clap::Args)]
pub(super) struct Usage {
    /// Form of the numbers
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    format: Form,
    /// Begin a journal below --root, which each later delete adds its container to
    #[arg(long)]
    journal: bool,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Form {
    /// For a collector of metrics
    #[default]
    Openmetrics,
    /// For programs
    Json,
}

impl Usage {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        if self.journal {
            root.keep_journal()?;
        }
        let usage = root.usage()?;
        match self.format {
            Form::Json => print(&serde_json::to_value(&usage).while_doing(|| "write the document")?),
            Form::Openmetrics => {
                std::io::stdout().write_all(openmetrics(&usage).as_bytes()).while_doing(|| "print")
            }
        }
    }
}

/// A number of one container, where it is known.
type Of = fn(&usage::Used) -> Option<f64>;

/// OpenMetrics 1.0, section "ABNF": families, each with its type, unit and help, and an end.
fn openmetrics(usage: &usage::Usage) -> String {
    let mut text = String::new();
    family(&mut text, "mocker_containers", "gauge", "Containers that exist, by status.");
    for (status, count) in &usage.by_status {
        sample(&mut text, "mocker_containers", &format!("{{status=\"{status}\"}}"), count);
    }
    let of_each: [(&str, &str, &str, Of); 3] = [
        ("mocker_container_seconds", "counter", "Time since the container was created.", |used| {
            Some(used.seconds)
        }),
        ("mocker_container_cpu_seconds", "counter", "Processor time of the container.", |used| {
            used.cpu_seconds
        }),
        ("mocker_container_memory_bytes", "gauge", "Memory charged to the container.", |used| {
            used.memory_bytes.map(|bytes| bytes as f64)
        }),
    ];
    for (name, kind, help, value) in of_each {
        family(&mut text, name, kind, help);
        let total = if kind == "counter" { "_total" } else { "" };
        for used in &usage.containers {
            if let Some(value) = value(used) {
                // No id needs an escape: none has a quote, a backslash or a line break.
                sample(&mut text, &format!("{name}{total}"), &format!("{{id=\"{}\"}}", used.id), value);
            }
        }
    }
    if let Some(ended) = &usage.ended {
        // Without a journal these would shrink with each delete, which no counter may.
        sums(&mut text, "mocker_all", "all containers, the deleted ones too", &usage.total);
        sums(
            &mut text,
            "mocker_ended",
            "containers that were deleted, from their create to their delete",
            ended,
        );
    }
    text + "# EOF\n"
}

fn sums(text: &mut String, prefix: &str, whose: &str, sum: &Sum) {
    for (name, what, value) in [
        ("containers", "Number of", sum.containers as f64),
        ("container_seconds", "Time of", sum.seconds),
        ("cpu_seconds", "Processor time of", sum.cpu_seconds),
    ] {
        let name = format!("{prefix}_{name}");
        family(text, &name, "counter", &format!("{what} {whose}."));
        sample(text, &format!("{name}_total"), "", value);
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let unit = name.rsplit_once('_').map(|(_, unit)| unit).filter(|unit| ["seconds", "bytes"].contains(unit));
    let unit = unit.map(|unit| format!("# UNIT {name} {unit}\n")).unwrap_or_default();
    // Writing into a String cannot fail.
    write!(text, "# TYPE {name} {kind}\n{unit}# HELP {name} {help}\n").ok();
}

fn sample(text: &mut String, name: &str, labels: &str, value: impl Display) {
    writeln!(text, "{name}{labels} {value}").ok();
}
