//! The container's first process (config.md "Process").

use std::ffi::CString;
use std::path::PathBuf;

use super::{caps, limits, numa, rlimits, seccomp};
use crate::abi::SchedAttr;
use crate::bundle::config::{Linux, Process as Given, Text};
use crate::error::{Error, Result, WhileDoing};

/// What init will turn itself into.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: PathBuf,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// None: those that this program was started with (crun's annotation `run.oci.keep_original_groups`)
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) umask: u32,
    /// None: no capability changes at all, as runc does without the property
    pub(crate) caps: Option<caps::Sets>,
    pub(crate) rlimits: Vec<rlimits::Rlimit>,
    pub(crate) no_new_privileges: bool,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<SchedAttr>,
    pub(crate) io_priority: Option<(u32, u32)>,
    pub(crate) personality: Option<u64>,
    pub(crate) memory_policy: Option<numa::MemoryPolicy>,
    /// For a process that `exec` brings in only
    pub(crate) affinity: numa::Affinity,
    pub(crate) apparmor: Option<String>,
    pub(crate) selinux: Option<String>,
    pub(crate) seccomp: Option<seccomp::Filter>,
}

/// A terminal of the container's own, and its size in characters (0 x 0: the default).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

/// Plans the process; `create` and `run` need one (config.md: "This property is REQUIRED when start is called").
///
/// The filter and the personality belong to all processes of the container, so they stand elsewhere in the file.
pub(crate) fn plan(given: Option<&Given<'_>>, linux: &Linux<'_>) -> Result<Process> {
    let Some(given) = given else {
        return Err(Error::invalid("config.json has no process"));
    };
    if given.args.is_empty() {
        return Err(Error::invalid("process.args is empty"));
    }
    let cwd = &*given.cwd;
    if !cwd.starts_with('/') {
        return Err(Error::invalid(format!("process.cwd {cwd:?} is not absolute")));
    }
    let size = given.console_size.as_ref();
    Ok(Process {
        args: strings("process.args", &given.args)?,
        env: env(&given.env)?,
        cwd: PathBuf::from(cwd),
        terminal: given.terminal.then(|| {
            size.map_or_else(Terminal::default, |size| Terminal { rows: size.height, columns: size.width })
        }),
        uid: given.user.uid,
        gid: given.user.gid,
        groups: Some(given.user.additional_gids.clone()),
        umask: given.user.umask.unwrap_or(0o022),
        caps: given.capabilities.as_ref().map(caps::plan),
        rlimits: rlimits::plan(&given.rlimits)?,
        no_new_privileges: given.no_new_privileges,
        oom_score_adj: given.oom_score_adj,
        scheduler: given.scheduler.as_ref().map(limits::scheduler).transpose()?,
        io_priority: given.io_priority.as_ref().map(limits::io_priority).transpose()?,
        personality: linux.personality.as_ref().map(limits::personality).transpose()?,
        memory_policy: linux.memory_policy.as_ref().map(numa::memory_policy).transpose()?,
        affinity: given.exec_cpu_affinity.as_ref().map(numa::affinity).transpose()?.unwrap_or_default(),
        apparmor: label(given.apparmor_profile.as_deref()),
        selinux: label(given.selinux_label.as_deref()),
        seccomp: linux.seccomp.as_ref().map(seccomp::plan).transpose().while_doing(|| "linux.seccomp")?,
    })
}

/// An empty name stands for none.
fn label(given: Option<&str>) -> Option<String> {
    given.filter(|label| !label.is_empty()).map(str::to_owned)
}

fn strings(what: &str, given: &[Text<'_>]) -> Result<Vec<CString>> {
    given
        .iter()
        .map(|text| {
            CString::new(text.as_bytes())
                .map_err(|_| Error::invalid(format!("{what} has a NUL character in {:?}", &**text)))
        })
        .collect()
}

/// Order is kept; of several entries of one name the last stays, where it stands, as runc does.
fn env(given: &[Text<'_>]) -> Result<Vec<CString>> {
    let mut out: Vec<&Text<'_>> = Vec::with_capacity(given.len());
    for entry in given {
        let Some((name, _)) = entry.split_once('=') else {
            return Err(Error::invalid(format!("process.env has {:?}, which has no \"=\"", &**entry)));
        };
        if name.is_empty() {
            return Err(Error::invalid(format!("process.env has {:?}, which has no name", &**entry)));
        }
        out.retain(|kept| kept.split_once('=').is_none_or(|(other, _)| other != name));
        out.push(entry);
    }
    out.into_iter()
        .map(|entry| {
            CString::new(entry.as_bytes())
                .map_err(|_| Error::invalid(format!("process.env has a NUL character in {:?}", &**entry)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Process> {
        let given: Given<'_> = serde_json::from_str(json).expect("parses");
        plan(Some(&given), &Linux::default())
    }

    #[test]
    fn of_two_environment_entries_of_one_name_the_last_one_counts() {
        let process = of(r#"{"cwd":"/","args":["x"],"env":["A=1","B=2","A=3"]}"#).expect("plans");
        assert_eq!(process.env, [c"B=2".to_owned(), c"A=3".to_owned()]);
    }

    #[test]
    fn what_cannot_be_run_is_an_error_that_names_the_property() {
        for (json, word) in [
            (r#"{"cwd":"/","args":[]}"#, "process.args is empty"),
            (r#"{"cwd":"tmp","args":["x"]}"#, "process.cwd \"tmp\" is not absolute"),
            (r#"{"cwd":"/","args":["x"],"env":["NAME"]}"#, "has no \"=\""),
            (r#"{"cwd":"/","args":["x\u0000y"]}"#, "NUL"),
        ] {
            assert!(of(json).expect_err("must fail").to_string().contains(word), "{json}");
        }
    }
}
