//! Shares of caches and memory bandwidth (config-linux.md "IntelRdt").

use crate::bundle::config::IntelRdt as Given;
use crate::error::{Error, Result};

/// What is asked of the resctrl file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rdt {
    /// The class of service; None: one of the container's own, `/`: the default class
    pub(crate) class: Option<String>,
    /// Lines for the class's file `schemata`, in their order
    pub(crate) schemata: Vec<String>,
    /// Whether the container gets a monitoring group of its own
    pub(crate) monitoring: bool,
}

/// Plans linux.intelRdt.
pub(crate) fn plan(given: &Given<'_>) -> Result<Rdt> {
    let class = given.clos_id.as_deref().filter(|class| !class.is_empty());
    if class.is_some_and(|class| class != "/" && (class.contains('/') || matches!(class, "." | ".."))) {
        return Err(Error::invalid(format!(
            "linux.intelRdt.closID {:?} is no name of a directory",
            class.unwrap_or_default()
        )));
    }
    let mut schemata = Vec::new();
    let given_lines = [
        ("l3CacheSchema", given.l3_cache_schema.as_deref()),
        ("memBwSchema", given.mem_bw_schema.as_deref()),
    ];
    let given_lines =
        given_lines.into_iter().chain(given.schemata.iter().map(|line| ("schemata", Some(&**line))));
    for (name, line) in given_lines {
        let line = line.unwrap_or_default();
        if line.contains('\n') {
            return Err(Error::invalid(format!("linux.intelRdt.{name} has a line break in {line:?}")));
        }
        if name == "memBwSchema" && !line.is_empty() && !line.starts_with("MB:") {
            return Err(Error::invalid(format!(
                "linux.intelRdt.memBwSchema {line:?} does not begin with MB:"
            )));
        }
        if !line.is_empty() {
            schemata.push(line.to_owned());
        }
    }
    Ok(Rdt { class: class.map(str::to_owned), schemata, monitoring: given.enable_monitoring })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Rdt> {
        plan(&serde_json::from_str(json).expect("parses"))
    }

    #[test]
    fn the_lines_come_in_the_order_of_the_specification() {
        let rdt = of(r#"{"schemata":["L2:0=1"],"memBwSchema":"MB:0=20","l3CacheSchema":"L3:0=f"}"#);
        assert_eq!(rdt.expect("plans").schemata, ["L3:0=f", "MB:0=20", "L2:0=1"]);
    }

    #[test]
    fn a_class_that_leads_elsewhere_and_a_line_that_is_two_are_refused() {
        for bad in [
            r#"{"closID":"../x"}"#,
            r#"{"closID":".."}"#,
            r#"{"schemata":["a\nb"]}"#,
            r#"{"memBwSchema":"x"}"#,
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!(of(r#"{"closID":"/"}"#).expect("plans").class.as_deref(), Some("/"));
    }
}
