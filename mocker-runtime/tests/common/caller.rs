//! Who calls the runtime: root, and an ordinary user without anybody's help, with one id and no cgroup.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::host::{Need, skip};
use serde_json::json;

use super::{Bundle, RUNTIME, copy_runtime, give};

/// Nobody that exists.
pub(crate) const USER: u32 = 4711;

/// Who calls the runtime in a test that is for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Root,
    User,
}

impl Caller {
    /// Those that this machine has.
    pub(crate) fn all(test: &str) -> Vec<Self> {
        match (skip(test, Need::Root), skip(test, Need::UserNamespace)) {
            (true, _) => Vec::new(),
            (false, true) => vec![Self::Root],
            (false, false) => vec![Self::Root, Self::User],
        }
    }

    /// A bundle of the caller's whose program is these words.
    pub(crate) fn bundle(self, args: &[&str]) -> Bundle {
        match self {
            Self::Root => Bundle::new(args),
            Self::User => Bundle::new(args).of_user(),
        }
    }

    /// A bundle of the caller's whose program is a line for the shell.
    pub(crate) fn shell(self, line: &str) -> Bundle {
        self.bundle(&["sh", "-c", line])
    }

    /// A bundle whose caller may make cgroups.
    pub(crate) fn with_cgroup(self, args: &[&str]) -> Bundle {
        match self {
            Self::Root => Bundle::new(args),
            Self::User => {
                let mut bundle = Bundle::new(args).of_user();
                bundle.tree = Some(Tree::delegated(&bundle.id));
                bundle
            }
        }
    }
}

impl Bundle {
    /// The bundle as the ordinary user's, who is root in the container.
    pub(crate) fn of_user(mut self) -> Self {
        let map = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
        for mount in self.config["mounts"].as_array_mut().unwrap() {
            // the group tty is nobody's in this namespace
            mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
        }
        give(self.path(), USER);
        self.user = true;
        self.set("/linux/namespaces/-", json!({ "type": "user" }))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
    }

    /// The program as the bundle's user, who need not be allowed to go where it lies.
    pub(super) fn program_of_user(&self) -> Command {
        let copy = self.path().join("runtime");
        if !open_to_all(Path::new(RUNTIME)) {
            copy_runtime(&copy);
        }
        let mut command = match &self.tree {
            None => Command::new("setpriv"),
            Some(tree) => {
                let mut command = Command::new("sh");
                let enter = "for d in $1; do echo 0 >$d/cgroup.procs || exit 99; done; shift; exec \"$@\"";
                command.args(["-c", enter, "sh", &tree.callers(), "setpriv"]);
                command
            }
        };
        let id = USER.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(if fs::exists(&copy).unwrap() { &copy } else { Path::new(RUNTIME) });
        command
    }
}

/// Whether anybody may go to a file.
fn open_to_all(path: &Path) -> bool {
    path.ancestors().skip(1).all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 1 == 1))
}

/// Cgroups in which the user rules; removed with the test.
#[derive(Debug)]
pub(crate) struct Tree(Vec<PathBuf>);

/// What is handed down.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "freezer", "memory", "pids"];

impl Tree {
    fn delegated(id: &str) -> Self {
        let (root, name) = (Path::new("/sys/fs/cgroup"), format!("tree-{id}"));
        if !Need::CgroupV2.is_met() {
            let mounts = CONTROLLERS.iter().map(|name| root.join(name)).filter(|dir| dir.is_dir());
            let dirs: Vec<PathBuf> = mounts.map(|mount| mount.join(&name)).collect();
            for dir in &dirs {
                fs::create_dir(dir).unwrap();
                hand_over(dir, &["", "cgroup.procs"]);
            }
            return Self(dirs);
        }
        let dir = root.join(name);
        // the caller's own, since a cgroup with processes hands no controllers down
        fs::create_dir_all(dir.join("caller")).unwrap();
        for controller in CONTROLLERS {
            for above in [root, &dir] {
                fs::write(above.join("cgroup.subtree_control"), format!("+{controller}")).ok();
            }
        }
        hand_over(&dir, &["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]);
        Self(vec![dir])
    }

    /// Where the caller stands.
    fn callers(&self) -> String {
        let below = if Need::CgroupV2.is_met() { "/caller" } else { "" };
        self.0.iter().map(|dir| format!("{}{below} ", dir.display())).collect()
    }

    /// The containers' directory in the tree of version 2, or of that controller.
    pub(crate) fn dir(&self, controller: &str) -> PathBuf {
        let dir = self.0.iter().find(|dir| dir.starts_with(Path::new("/sys/fs/cgroup").join(controller)));
        dir.or_else(|| self.0.first()).unwrap().clone()
    }
}

fn hand_over(dir: &Path, files: &[&str]) {
    files.iter().for_each(|file| chown(dir.join(file), Some(USER), Some(USER)).unwrap());
}

impl Drop for Tree {
    fn drop(&mut self) {
        for dir in &self.0 {
            fs::remove_dir(dir.join("caller")).ok();
            fs::remove_dir(dir).ok();
        }
    }
}
