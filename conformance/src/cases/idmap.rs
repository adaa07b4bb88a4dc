//! config.md#configLinuxMountOptions: mounts with ids mapped, and attributes that go all the way down.

use std::collections::BTreeSet;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::mount::MsFlags;
use serde_json::{Value, json};

use super::ROOT;
use crate::bundle::bind;
use crate::case::{Bench, Case, expect_eq};
use crate::container::Setup;
use crate::host::{self, Need};
use crate::inside::Report;

const IDMAP: &str = "If `uidMappings` or `gidMappings` are specified for the mount, the runtime MUST use those values for the mount's mapping.";
const RIDMAP: &str = "`ridmap`         | SHOULD      | Indicates that the mount MUST have an idmapping applied, and the mapping is applied recursively.";
const NONE: &str = "If there are no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, an error MUST be returned.";
const RECURSIVE: &str = "`rnosuid`        | SHOULD      | Recursive `nosuid`";
const BACK: &str = "`rsuid`          | SHOULD      | Recursive `suid`";
const NAMESPACE: &[Need] = &[Need::Root, Need::UserNamespace];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "idmap.with-mappings-of-its-own",
        at: "config.md#configLinuxMountOptions",
        must: IDMAP,
        needs: NAMESPACE,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            let report = seen(bench.reporter(LOOKS)?, mapped(&tree, &["rbind", "idmap"]))?;
            expect_eq("owner of the file", report.look("/data/file", "uid"), 507)?;
            expect_eq("group of the file", report.look("/data/file", "gid"), 607)?;
            expect_eq("owner in the mount below", report.look("/data/sub/file", "uid"), 7)
        },
    },
    Case {
        name: "idmap.recursive-one-maps-the-mounts-below",
        at: "config.md#configLinuxMountOptions",
        must: RIDMAP,
        needs: NAMESPACE,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            let report = seen(bench.reporter(LOOKS)?, mapped(&tree, &["rbind", "ridmap"]))?;
            expect_eq("owner of the file", report.look("/data/file", "uid"), 507)?;
            expect_eq("owner in the mount below", report.look("/data/sub/file", "uid"), 507)?;
            expect_eq("group in the mount below", report.look("/data/sub/file", "gid"), 607)
        },
    },
    Case {
        name: "idmap.mappings-count-without-the-option",
        at: "config.md#configMounts",
        must: "**`uidMappings`** (array of type LinuxIDMapping, OPTIONAL) The mapping to convert UIDs from the source file system to the destination mount point.",
        needs: NAMESPACE,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            let report = seen(bench.reporter(LOOKS)?, mapped(&tree, &["bind"]))?;
            expect_eq("owner of the file", report.look("/data/file", "uid"), 507)
        },
    },
    Case {
        name: "idmap.leaves-the-source-alone",
        at: "config-linux.md#configLinuxUserNamespaceMappings",
        must: "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the mapping.",
        needs: NAMESPACE,
        check: |bench| {
            use std::os::unix::fs::MetadataExt;
            let tree = Tree::new(bench, MsFlags::empty())?;
            let report = seen(bench.reporter(LOOKS)?, mapped(&tree, &["bind", "idmap"]))?;
            expect_eq("owner inside", report.look("/data/file", "uid"), 507)?;
            expect_eq("owner on the host", tree.source.join("file").metadata()?.uid(), 7)
        },
    },
    Case {
        name: "idmap.with-the-mappings-of-the-container",
        at: "config.md#configLinuxMountOptions",
        must: "If they are not specified, the runtime MAY use the container's user namespace mapping, otherwise an error MUST be returned.",
        needs: NAMESPACE,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            for option in ["idmap", "ridmap"] {
                let setup = with_users(bench.reporter(LOOKS)?)?;
                let setup = setup.set("/mounts/-", bind(&tree.source, "/data", &["rbind", option]))?;
                let (outcome, container) = setup.try_create()?;
                if !outcome.status.success() {
                    continue;
                }
                container.start()?;
                container.wait_for("stopped")?;
                expect_eq(option, container.report()?.look("/data/file", "uid"), 7)?;
            }
            Ok(())
        },
    },
    Case {
        name: "idmap.without-any-mapping-is-an-error",
        at: "config.md#configLinuxMountOptions",
        must: NONE,
        needs: ROOT,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            for option in ["idmap", "ridmap"] {
                let entry = bind(&tree.source, "/data", &["rbind", option]);
                bench.container(["pause"])?.set("/mounts/-", entry)?.refused().context(option)?;
            }
            Ok(())
        },
    },
    Case {
        name: "idmap.only-one-kind-of-mapping-is-an-error",
        at: "config.md#configMounts",
        must: "If specified, it MUST be specified along with `gidMappings`.",
        needs: NAMESPACE,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            for kind in ["uidMappings", "gidMappings"] {
                let mut entry = mapped(&tree, &["bind", "idmap"]);
                crate::bundle::remove_member(&mut entry, kind);
                let refused = bench.container(["pause"])?.set("/mounts/-", entry)?.refused();
                refused.with_context(|| format!("without {kind}"))?;
            }
            Ok(())
        },
    },
    Case {
        name: "recursive.attributes-reach-the-mounts-below",
        at: "config.md#configLinuxMountOptions",
        must: RECURSIVE,
        needs: ROOT,
        check: |bench| {
            for (option, word) in [("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec")] {
                attribute(bench, MsFlags::empty(), option, |held| held.contains(word))?;
            }
            Ok(())
        },
    },
    Case {
        name: "recursive.symlinks-are-not-followed-below",
        at: "config.md#configLinuxMountOptions",
        must: "`rnosymfollow`   | SHOULD      | Recursive `nosymfollow`",
        needs: ROOT,
        check: |bench| {
            attribute(bench, MsFlags::empty(), "rnosymfollow", |held| held.contains("nosymfollow"))
        },
    },
    Case {
        name: "recursive.opposites-take-attributes-back-below",
        at: "config.md#configLinuxMountOptions",
        must: BACK,
        needs: ROOT,
        check: |bench| {
            for (flag, option, word) in [
                (MsFlags::MS_NOSUID, "rsuid", "nosuid"),
                (MsFlags::MS_NODEV, "rdev", "nodev"),
                (MsFlags::MS_NOEXEC, "rexec", "noexec"),
                (MsFlags::MS_RDONLY, "rrw", "ro"),
            ] {
                attribute(bench, flag, option, |held| !held.contains(word))?;
            }
            Ok(())
        },
    },
    Case {
        name: "recursive.access-times-are-set-below",
        at: "config.md#configLinuxMountOptions",
        must: "`ratime`         | SHOULD      | Recursive `atime`",
        needs: ROOT,
        check: |bench| {
            attribute(bench, MsFlags::empty(), "rnoatime", |held| held.contains("noatime"))?;
            attribute(bench, MsFlags::empty(), "rnodiratime", |held| held.contains("nodiratime"))?;
            attribute(bench, MsFlags::MS_NOATIME, "ratime", |held| !held.contains("noatime"))?;
            attribute(bench, MsFlags::MS_NOATIME, "rrelatime", |held| held.contains("relatime"))?;
            attribute(bench, MsFlags::MS_NOATIME, "rstrictatime", |held| {
                !held.contains("noatime") && !held.contains("relatime")
            })
        },
    },
    Case {
        name: "mounts.bind-without-following-symlinks",
        at: "config.md#configLinuxMountOptions",
        must: "`nosymfollow`    | SHOULD      | (Introduced in kernel 5.10, util-linux 2.38)",
        needs: ROOT,
        check: |bench| {
            let tree = Tree::new(bench, MsFlags::empty())?;
            let report = seen(bench.reporter([])?, bind(&tree.source, "/data", &["bind", "nosymfollow"]))?;
            report.mount("/data")?.has(&["nosymfollow"])
        },
    },
];

const LOOKS: [&str; 2] = ["/data/file", "/data/sub/file"];

/// A folder with another file system at `sub`; a file of user 7 in each.
struct Tree {
    source: PathBuf,
}

impl Tree {
    fn new(bench: &Bench, flags: MsFlags) -> Result<Self> {
        let source = bench.dir().join("source");
        let below = source.join("sub");
        std::fs::create_dir_all(&below)?;
        crate::bundle::open_to_others(&source)?;
        mount(Some("none"), &below, flags - MsFlags::MS_RDONLY)?;
        let tree = Self { source };
        for file in [tree.source.join("file"), below.join("file")] {
            std::fs::write(&file, "")?;
            chown(&file, Some(7), Some(7))?;
        }
        if flags.contains(MsFlags::MS_RDONLY) {
            // a program that another case starts in this moment has the files above open until it executes
            let mut done = mount(None, &below, flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND);
            let waited = host::wait_until(bench.left(), "the last writer to go", || {
                if done.is_err() {
                    done = mount(None, &below, flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND);
                }
                done.is_ok()
            });
            waited.and(done)?;
        }
        Ok(tree)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // the namespace of the suite ends with it, whatever is left
        nix::mount::umount2(&self.source.join("sub"), nix::mount::MntFlags::MNT_DETACH).ok();
    }
}

fn mount(source: Option<&str>, place: &Path, flags: MsFlags) -> Result<()> {
    let kind = source.map(|_| "tmpfs");
    let mounted = nix::mount::mount(source, place, kind, flags, None::<&str>);
    mounted.with_context(|| format!("mount at {}", place.display()))
}

/// Ids 0 to 999 of the files are 500 and more for users, 600 and more for groups.
fn mapped(tree: &Tree, options: &[&str]) -> Value {
    let mut entry = bind(&tree.source, "/data", options);
    for (kind, host) in [("uidMappings", 500), ("gidMappings", 600)] {
        entry[kind] = json!([{ "containerID": 0, "hostID": host, "size": 1000 }]);
    }
    entry
}

fn seen(setup: Setup<'_>, entry: Value) -> Result<Report> {
    setup.set("/mounts/-", entry)?.report()
}

/// A container with a user namespace whose ids begin at 100000.
pub(super) fn with_users(setup: Setup<'_>) -> Result<Setup<'_>> {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    crate::bundle::open_to_others(setup.bundle())?;
    setup
        .set("/linux/namespaces/-", json!({ "type": "user" }))?
        .set("/linux/uidMappings", map.clone())?
        .set("/linux/gidMappings", map)
}

/// A recursive option on a bind of a tree, whose lower mount has these flags: what the lower one has inside.
fn attribute(
    bench: &Bench,
    flags: MsFlags,
    option: &str,
    good: impl Fn(&BTreeSet<String>) -> bool,
) -> Result<()> {
    let tree = Tree::new(bench, flags)?;
    let report = seen(bench.reporter([])?, bind(&tree.source, "/data", &["rbind", option]))
        .with_context(|| option.to_owned())?;
    let held = report.mount("/data/sub")?.options;
    ensure!(good(&held), "with {option} the mount below is {held:?}");
    Ok(())
}
