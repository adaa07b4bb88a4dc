//! The root file system, masked and read-only paths, propagation.

use std::path::Path;

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use super::{CONTAINER, ROOT};
use crate::case::{Case, expect_eq};
use crate::container::Setup;

const MASK: &str = "**`maskedPaths`** (array of strings, OPTIONAL) will mask over the provided paths inside the container so that they cannot be read.";
const READONLY: &str = "**`readonlyPaths`** (array of strings, OPTIONAL) will set the provided paths as readonly inside the container.";
const PROPAGATION: &str = "**`rootfsPropagation`** (string, OPTIONAL) sets the rootfs's mount propagation.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "root.readonly-is-read-only",
        at: "config.md#configRoot",
        must: "**`readonly`** (bool, OPTIONAL) If true then the root filesystem MUST be read-only inside the container, defaults to false.",
        needs: CONTAINER,
        check: |bench| {
            let report =
                bench.reporter(["/data", "/etc/file", "/dev/shm"])?.set("/root/readonly", true)?.report()?;
            expect_eq("a write below /", report.look("/data", "write"), "EROFS")?;
            expect_eq("a write to a file", report.look("/etc/file", "write"), "EROFS")?;
            expect_eq("a write to a mount of its own", report.look("/dev/shm", "write"), "ok")
        },
    },
    Case {
        name: "root.is-writable-by-default",
        at: "config.md#configRoot",
        must: "**`readonly`** (bool, OPTIONAL) If true then the root filesystem MUST be read-only inside the container, defaults to false.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.reporter(["/data"])?.remove("/root/readonly");
            expect_eq("a write below /", setup.report()?.look("/data", "write"), "ok")
        },
    },
    Case {
        name: "root.path-may-be-absolute",
        at: "config.md#configRoot",
        must: "On POSIX platforms, `path` is either an absolute path or a relative path to the bundle.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.reporter(["/etc/file"])?;
            let path = setup.rootfs("").display().to_string();
            let report = setup.set("/root/path", path.trim_end_matches('/'))?.report()?;
            expect_eq("a file of it", report.look("/etc/file", "read"), "ok")
        },
    },
    Case {
        name: "root.nothing-of-the-host-is-seen",
        at: "config.md#configRoot",
        must: "**`root`** (object, OPTIONAL) specifies the container's root filesystem.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/"])?.report()?;
            let want = ["data", "dev", "etc", "probe", "proc", "sys", "tmp"];
            expect_eq("entries of /", report.look("/", "entries"), want.as_slice())?;
            let strangers: Vec<String> = report
                .mounts()
                .into_iter()
                .map(|mount| mount.point)
                .filter(|point| {
                    !["/proc", "/dev", "/sys"].iter().any(|own| point.starts_with(own)) && point != "/"
                })
                .collect();
            ensure!(strangers.is_empty(), "mounts of the host are left: {strangers:?}");
            Ok(())
        },
    },
    Case {
        name: "masked.files-and-folders-read-as-nothing",
        at: "config-linux.md#configLinuxMaskedPaths",
        must: MASK,
        needs: CONTAINER,
        check: |bench| {
            let paths = ["/etc/file", "/proc/kallsyms", "/full"];
            let setup = bench.reporter(paths)?;
            std::fs::create_dir(setup.rootfs("/full"))?;
            std::fs::write(setup.rootfs("/full/secret"), "x")?;
            let report = setup.set("/linux/maskedPaths", paths.as_slice())?.report()?;
            for path in paths {
                ensure!(report.look(path, "read") != "ok", "{path} can be read");
            }
            expect_eq("entries of /full", report.look("/full", "entries"), json!([]))
        },
    },
    Case {
        name: "masked.folders-cannot-be-written",
        at: "config-linux.md#configLinuxMaskedPaths",
        must: MASK,
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/data"])?.set("/linux/maskedPaths", json!(["/data"]))?.report()?;
            expect_eq("a write below it", report.look("/data", "write"), "EROFS")
        },
    },
    Case {
        name: "masked.missing-path-is-no-error",
        at: "config-linux.md#configLinuxMaskedPaths",
        must: MASK,
        needs: CONTAINER,
        check: |bench| {
            bench
                .reporter([])?
                .set("/linux/maskedPaths", json!(["/no/such/path", "/proc/none"]))?
                .report()
                .map(drop)
        },
    },
    Case {
        name: "masked.symlink-does-not-lead-out",
        at: "config-linux.md#configLinuxMaskedPaths",
        must: "The values MUST be absolute paths in the container namespace.",
        needs: CONTAINER,
        check: |bench| {
            let outside = bench.dir().join("outside");
            std::fs::write(&outside, "the host's\n")?;
            let setup = bench.reporter([])?;
            std::os::unix::fs::symlink(&outside, setup.rootfs("/data/link"))?;
            // an error is as good as a mask that stays inside
            drop(setup.set("/linux/maskedPaths", json!(["/data/link"]))?.try_create()?);
            expect_eq("the host's file", std::fs::read_to_string(&outside)?, "the host's\n")
        },
    },
    Case {
        name: "readonly-paths.cannot-be-written",
        at: "config-linux.md#configLinuxReadonlyPaths",
        must: READONLY,
        needs: CONTAINER,
        check: |bench| {
            let paths = ["/data", "/etc/file", "/proc/sys/kernel/hostname"];
            let setup = bench.reporter(paths)?;
            let report =
                setup.set("/linux/readonlyPaths", json!(["/data", "/etc/file", "/proc/sys"]))?.report()?;
            // the last one is root's alone, and an ordinary user's root is told so first
            let own = if crate::host::is_root() { &paths[..] } else { &paths[..2] };
            for path in own {
                expect_eq(&format!("a write to {path}"), report.look(path, "write"), "EROFS")?;
            }
            expect_eq("a read of /etc/file", report.look("/etc/file", "read"), "ok")
        },
    },
    Case {
        name: "readonly-paths.keep-their-flags",
        at: "config-linux.md#configLinuxReadonlyPaths",
        must: READONLY,
        needs: CONTAINER,
        check: |bench| {
            let place = crate::bundle::mount("/data", "tmpfs", &["nosuid", "nodev", "noexec"]);
            let setup =
                bench.reporter([])?.set("/mounts/-", place)?.set("/linux/readonlyPaths", json!(["/data"]))?;
            setup.report()?.mount("/data")?.has(&["ro", "nosuid", "nodev", "noexec"])
        },
    },
    Case {
        name: "readonly-paths.missing-path-is-no-error",
        at: "config-linux.md#configLinuxReadonlyPaths",
        must: READONLY,
        needs: CONTAINER,
        check: |bench| {
            bench.reporter([])?.set("/linux/readonlyPaths", json!(["/no/such/path"]))?.report().map(drop)
        },
    },
    Case {
        name: "propagation.private-receives-nothing",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: "**`private`**: the rootfs mount doesn't receive mount propagation events from the host and further mounts in nested containers will be isolated from the host and from the rootfs (even if the nested container `rootfsPropagation` option is shared).",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/linux/rootfsPropagation", "private")?.report()?;
            expect_eq("propagation of /", report.mount("/")?.propagation, json!([]))
        },
    },
    Case {
        name: "propagation.shared-is-a-peer-group",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: "**`shared`**: the rootfs mount belongs to a new peer group.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/linux/rootfsPropagation", "shared")?.report()?;
            let propagation = report.mount("/")?.propagation;
            ensure!(
                propagation.iter().any(|word| word.starts_with("shared:")),
                "propagation of / is {propagation:?}"
            );
            Ok(())
        },
    },
    Case {
        name: "propagation.slave-follows-the-host",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: "**`slave`**: the rootfs mount receives propagation events from the host; that is, if a mount event occurs on the host, it will be propagated to the container, but not the other way around.",
        needs: ROOT,
        check: |bench| {
            let setup = bench.container(["pause"])?.set("/linux/rootfsPropagation", "slave")?;
            let root = setup.rootfs("");
            let root = root.to_str().unwrap_or_default().trim_end_matches('/');
            let none = None::<&str>;
            mount(Some(root), root, none, MsFlags::MS_BIND, none)?;
            mount(none, root, none, MsFlags::MS_SHARED, none)?;
            let seen = followed(setup, Path::new(root));
            umount2(root, MntFlags::MNT_DETACH)?;
            expect_eq("entries of /data after a mount on the host", seen?, ["new"].as_slice())
        },
    },
    Case {
        name: "propagation.unbindable-is-unbindable",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: "**`unbindable`**: the rootfs mount is a private mount that cannot be bind-mounted.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/linux/rootfsPropagation", "unbindable")?.report()?;
            expect_eq("propagation of /", report.mount("/")?.propagation, ["unbindable"].as_slice())
        },
    },
    Case {
        name: "propagation.unknown-value-is-an-error",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: "Its value is either `shared`, `slave`, `private` or `unbindable`.",
        needs: CONTAINER,
        check: |bench| {
            bench.container(["pause"])?.set("/linux/rootfsPropagation", "sideways")?.refused().map(drop)
        },
    },
    Case {
        name: "propagation.mounts-inside-stay-inside",
        at: "config-linux.md#configLinuxRootfsMountPropagation",
        must: PROPAGATION,
        needs: CONTAINER,
        check: |bench| {
            let before = own_mounts()?;
            for value in ["private", "slave", "shared"] {
                let place = crate::bundle::mount("/data", "tmpfs", &[]);
                let setup = bench.container(["pause"])?.set("/linux/rootfsPropagation", value)?;
                let container = setup.set("/mounts/-", place)?.start()?;
                expect_eq("the runtime namespace's mounts", own_mounts()?, before.as_slice())?;
                container.stop()?;
            }
            Ok(())
        },
    },
];

fn own_mounts() -> Result<Vec<String>> {
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo")?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect())
}

/// What a container has at /data when the host has mounted something there.
fn followed(setup: Setup<'_>, root: &Path) -> Result<Vec<String>> {
    let container = setup.start()?;
    mount(Some("none"), &root.join("data"), Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    std::fs::write(root.join("data/new"), "")?;
    let inside = std::fs::read_dir(format!("/proc/{}/root/data", container.pid()?))?;
    Ok(inside.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
