//! One container of a case, from its configuration to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use serde_json::Value;

use crate::bundle;
use crate::case::Bench;
use crate::host;
use crate::inside::Report;
use crate::runtime::{Outcome, Streams};

/// A bundle whose configuration can still be changed.
pub struct Setup<'a> {
    bench: &'a Bench,
    id: String,
    bundle: PathBuf,
    config: Value,
    words: Vec<String>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(bench: &'a Bench, id: String, bundle: PathBuf, config: Value) -> Self {
        Self { bench, id, bundle, config, words: Vec::new() }
    }

    /// Sets a member of config.json by JSON pointer; `/-` at the end appends to an array.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Result<Self> {
        bundle::set(&mut self.config, pointer, value.into())?;
        Ok(self)
    }

    /// Removes a member of config.json.
    pub fn remove(mut self, pointer: &str) -> Self {
        bundle::remove(&mut self.config, pointer);
        self
    }

    /// Removes one namespace from the list.
    pub fn without_namespace(mut self, kind: &str) -> Self {
        if let Some(Value::Array(list)) = self.config.pointer_mut("/linux/namespaces") {
            list.retain(|entry| entry["type"] != kind);
        }
        self
    }

    /// Another id than the suite's own choice.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// One more word for `create`, before the id.
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// The bundle's folder.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// A path of the root file system as the host sees it.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.bundle.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// The bundle's folder, with its configuration in it, for a call that no other method makes.
    pub fn written(&self) -> Result<&Path> {
        self.write()?;
        Ok(&self.bundle)
    }

    fn write(&self) -> Result<()> {
        Ok(fs::write(self.bundle.join("config.json"), self.config.to_string())?)
    }

    fn call_create(&self) -> Result<Outcome> {
        self.write()?;
        let bundle = self.bundle.display().to_string();
        let pid_file = self.bundle.join("pid").display().to_string();
        let mut words = vec!["create", "--bundle", &bundle, "--pid-file", &pid_file];
        words.extend(self.words.iter().map(String::as_str));
        words.push(&self.id);
        let streams = Streams { out: &self.bundle.join("out"), err: &self.bundle.join("err") };
        self.bench.runtime.call_into(&words, self.bench.left(), &streams)
    }

    /// `create` as it ends, whichever way; nothing cleans up after it but the caller.
    pub fn try_create(self) -> Result<(Outcome, Container<'a>)> {
        let outcome = self.call_create()?;
        Ok((outcome, Container { bench: self.bench, id: self.id, bundle: self.bundle }))
    }

    /// `create`, which has to succeed.
    pub fn create(self) -> Result<Container<'a>> {
        let (outcome, container) = self.try_create()?;
        outcome.success().context("create")?;
        Ok(container)
    }

    /// `create`, which has to fail and leave no container.
    pub fn refused(self) -> Result<Outcome> {
        let (outcome, container) = self.try_create()?;
        let outcome = outcome.failure("create")?;
        ensure!(container.state().is_err(), "create failed, yet there is a container");
        Ok(outcome)
    }

    /// `create` or `start` has to fail; the kernel may only notice in the second.
    pub fn refused_by_start(self) -> Result<()> {
        let (outcome, container) = self.try_create()?;
        if outcome.status.success() {
            container.call(&["start"])?.failure("create and start")?;
        }
        Ok(())
    }

    /// `create` and `start`.
    pub fn start(self) -> Result<Container<'a>> {
        let container = self.create()?;
        container.start()?;
        Ok(container)
    }

    /// `create`, `start`, and the end of the program.
    pub fn run(self) -> Result<Container<'a>> {
        let container = self.start()?;
        container.wait_for("stopped")?;
        Ok(container)
    }

    /// Runs a reporter and reads its report.
    pub fn report(self) -> Result<Report> {
        self.run()?.report()
    }
}

/// A container that `create` was called for; force-deleted at the end of its life.
pub struct Container<'a> {
    bench: &'a Bench,
    /// Its id.
    pub id: String,
    bundle: PathBuf,
}

impl Container<'_> {
    /// `VERB ID WORDS...` as it ends.
    pub fn call(&self, words: &[&str]) -> Result<Outcome> {
        let (verb, rest) = words.split_first().context("a call without a verb")?;
        let words: Vec<&str> = [*verb, self.id.as_str()].into_iter().chain(rest.iter().copied()).collect();
        self.bench.runtime.call(&words, self.bench.left())
    }

    /// `exec OPTIONS ID WORDS` of a reporter, which has to succeed.
    pub fn exec(&self, options: &[&str], words: &[&str]) -> Result<Report> {
        let words = [&["exec"], options, &[self.id.as_str()], words].concat();
        let outcome = self.bench.runtime.call(&words, self.bench.left())?;
        outcome.success().context("exec")?.json().map(Report::new)
    }

    /// `start`, which has to succeed.
    pub fn start(&self) -> Result<()> {
        self.call(&["start"])?.success().context("start").map(drop)
    }

    /// `kill` with a signal's name.
    pub fn kill(&self, signal: &str) -> Result<Outcome> {
        self.call(&["kill", signal])
    }

    /// `delete` without force.
    pub fn delete(&self) -> Result<Outcome> {
        self.call(&["delete"])
    }

    /// The document that `state` prints.
    pub fn state(&self) -> Result<Value> {
        self.call(&["state"])?.success().context("state")?.json()
    }

    /// The status in it.
    pub fn status(&self) -> Result<String> {
        Ok(self.state()?["status"].as_str().unwrap_or_default().to_owned())
    }

    /// The pid that `create` wrote into its pid file.
    pub fn pid(&self) -> Result<i32> {
        let text = fs::read_to_string(self.bundle.join("pid")).context("read the pid file")?;
        text.trim().parse().with_context(|| format!("{text:?} in the pid file is not a number"))
    }

    /// `mnt:[4026531841]`: a namespace of the container process. Before it executes its program an ordinary user may
    /// not look into it, and `start` can return earlier.
    pub fn namespace(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/ns/{file}", self.pid()?);
        let mut seen = fs::read_link(&path);
        host::wait_until(self.bench.left(), "a look into the container process", || {
            if seen.is_err() {
                seen = fs::read_link(&path);
            }
            seen.is_ok()
        })?;
        Ok(seen?.display().to_string())
    }

    /// Polls `state` until it says this.
    pub fn wait_for(&self, status: &str) -> Result<()> {
        let mut seen = Ok(String::new());
        let waited = host::wait_until(self.bench.left(), &format!("status {status}"), || {
            seen = self.status();
            seen.as_ref().map_or(true, |seen| seen == status)
        });
        let seen = seen?;
        waited.with_context(|| format!("status is {seen}"))
    }

    /// Kills the program and waits for its end.
    pub fn stop(&self) -> Result<()> {
        self.kill("KILL")?.success().context("kill")?;
        self.wait_for("stopped")
    }

    /// The container process's own exit status, or 128 + N for signal N. Needs the suite to be its reaper.
    pub fn exit_status(&self) -> Result<i32> {
        let pid = Pid::from_raw(self.pid()?).context("pid 0")?;
        let mut status: Option<WaitStatus> = None;
        host::wait_until(self.bench.left(), "the container process to end", || {
            match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(ended) => status = ended.map(|(_, status)| status),
                Err(_) => return true,
            }
            status.is_some()
        })?;
        let status = status.context("the container process is no child of its reaper")?;
        let signal = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(signal).context("neither exited nor killed")
    }

    /// What the program and `create` wrote to standard output.
    pub fn output(&self) -> Result<String> {
        Ok(fs::read_to_string(self.bundle.join("out"))?)
    }

    /// The same of standard error.
    pub fn errors(&self) -> Result<String> {
        Ok(fs::read_to_string(self.bundle.join("err"))?)
    }

    /// Waits until the output has this line.
    pub fn wait_for_line(&self, line: &str) -> Result<()> {
        host::wait_until(self.bench.left(), &format!("the line {line:?}"), || {
            self.output().is_ok_and(|text| text.lines().any(|held| held == line))
        })
    }

    /// What a reporter printed.
    pub fn report(&self) -> Result<Report> {
        let text = self.output()?;
        let parsed = serde_json::from_str(&text);
        let errors = self.errors().unwrap_or_default();
        Ok(Report::new(parsed.with_context(|| format!("no report of the probe: {text:?} {errors:?}"))?))
    }

    /// The bundle's folder.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// A path of the root file system as the host sees it.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.bundle.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// The folder of a cgroup v1 controller, or with an empty name the one of cgroup v2, of the container process.
    pub fn cgroup(&self, controller: &str) -> Result<PathBuf> {
        let pid = self.pid()?;
        let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        for line in memberships.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            if controllers.split(',').any(|held| held == controller) {
                return Ok(cgroup_mount(controller)?.join(path.trim_start_matches('/')));
            }
        }
        bail!("process {pid} is in no cgroup of {controller:?}: {memberships:?}")
    }

    /// A file of that folder, trimmed.
    pub fn cgroup_file(&self, controller: &str, file: &str) -> Result<String> {
        let path = self.cgroup(controller)?.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

fn cgroup_mount(controller: &str) -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
    let wanted = |words: &[&str]| match (controller, words) {
        ("", [_, _, "cgroup2", ..]) => true,
        (name, [_, _, "cgroup", options, ..]) => options.split(',').any(|option| option == name),
        _ => false,
    };
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.into_iter().find(|words| wanted(words)).context("its hierarchy is not mounted")?;
    Ok(PathBuf::from(found[1]))
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // a case that failed has said why already; what this leaves behind shows in the next one
        let limit = Duration::from_secs(10);
        drop(self.bench.runtime.cleaner().call(&["delete", "--force", &self.id], limit));
        if let Some(pid) = self.pid().ok().and_then(Pid::from_raw) {
            rustix::process::waitpid(Some(pid), WaitOptions::NOHANG).ok();
        }
    }
}
