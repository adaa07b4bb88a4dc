//! A manager that calls a runtime in its own words.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::common::{Bundle, Call};

/// One that calls the runtime `program` for one bundle, always with the same global options.
pub(crate) struct Manager {
    pub(crate) program: PathBuf,
    pub(crate) bundle: Bundle,
    pub(crate) global: &'static str,
}

impl Manager {
    /// A call; BUNDLE and ID stand for the bundle's directory and the container's id.
    pub(crate) fn command(&self, words: &str) -> Command {
        let bundle = self.bundle.path().to_str().unwrap();
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.bundle.state_root());
        for word in self.global.split(' ').chain(words.split(' ')).filter(|word| !word.is_empty()) {
            // The id first: a directory made for a test may have these two letters in its name.
            command.arg(word.replace("ID", &self.bundle.id).replace("BUNDLE", bundle));
        }
        command.current_dir(bundle).stdin(Stdio::null());
        command
    }

    /// A call whose output goes to a file, since what it starts may outlive it.
    pub(crate) fn call(&self, words: &str) -> Call {
        self.call_with(words, Stdio::null())
    }

    pub(crate) fn call_with(&self, words: &str, input: impl Into<Stdio>) -> Call {
        let name = words.split(' ').next().unwrap();
        let open = |kind: &str| fs::File::create(self.file(&format!("{name}.{kind}"))).unwrap();
        let mut command = self.command(words);
        let status = command.stdin(input).stdout(open("out")).stderr(open("err")).status().unwrap();
        let read = |kind: &str| fs::read_to_string(self.file(&format!("{name}.{kind}"))).unwrap();
        Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
    }

    #[track_caller]
    pub(crate) fn ok(&self, words: &str) -> String {
        self.call(words).ok()
    }

    /// The call must fail with that status, and say one of these in the log's last line of level error, which is what
    /// the shim shows; where there is no log, on stderr.
    #[track_caller]
    pub(crate) fn fails(&self, words: &str, status: i32, texts: &[&str]) {
        let call = self.call(words);
        let said = match self.log() {
            Some(lines) => lines.last().map_or_else(String::new, |line| line["msg"].to_string()),
            None => format!("{:?}", call.err),
        };
        assert_eq!(call.code, status, "{} {words}: {call:?}", self.program.display());
        let found = texts.iter().any(|text| said.contains(&format!("{text:?}")[1..text.len() + 1]));
        assert!(found, "{} {words}: {said} {call:?}", self.program.display());
    }

    /// All lines of level error in the log, each of which must be an object of its own.
    pub(crate) fn log(&self) -> Option<Vec<Value>> {
        let text = fs::read_to_string(self.file("log.json")).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
        Some(lines.filter(|line: &Value| line["level"] == "error").collect())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.bundle.path().join(name)
    }

    pub(crate) fn pid(&self, name: &str) -> i32 {
        fs::read_to_string(self.file(name)).unwrap().parse().unwrap()
    }

    pub(crate) fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.ok("state ID")).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// What shims do as the subreaper that orphans fall to.
    pub(crate) fn exit_status(&self, name: &str) -> i32 {
        match waitpid(Pid::from_raw(self.pid(name)), None).unwrap() {
            WaitStatus::Exited(_, status) => status,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            other => panic!("{other:?}"),
        }
    }

    /// A file as managers write it for `exec --process`.
    pub(crate) fn process(&self, name: &str, args: &[&str]) {
        let mut process = self.bundle.config["process"].clone();
        process["args"] = json!(args);
        fs::write(self.file(name), process.to_string()).unwrap();
    }

    /// Everything is gone, as the manager sees it and as the kernel does.
    pub(crate) fn is_done(&self) {
        self.fails("state ID", 1, &["does not exist"]);
        self.ok("delete --force ID");
        self.bundle.assert_nothing_left();
    }
}

impl Drop for Manager {
    /// By the same program: another one does not know the container.
    fn drop(&mut self) {
        self.command("delete --force ID").stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
    }
}
