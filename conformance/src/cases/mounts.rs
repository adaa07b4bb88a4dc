//! config.md#configMounts.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CONTAINER, ROOT, USERS};
use crate::bundle::{bind, mount};
use crate::case::{Bench, Case, expect_eq};
use crate::inside::Report;

const OPTIONS: &str = "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux:";
const BIND: &str = "A mount is a bind mount if it has either `bind` or `rbind` in the options.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mounts.are-made-in-the-listed-order",
        at: "config.md#configMounts",
        must: "The runtime MUST mount entries in the listed order.",
        needs: CONTAINER,
        check: |bench| {
            let places = ["/data", "/data/b", "/data/b/c", "/data/a"];
            let report = mounted(bench, &places.map(|place| mount(place, "tmpfs", &[])))?;
            let seen: Vec<String> = report
                .mounts()
                .into_iter()
                .map(|mount| mount.point)
                .filter(|point| point.starts_with("/data"))
                .collect();
            expect_eq("mounts below /data", seen, places.as_slice())
        },
    },
    Case {
        name: "mounts.later-one-covers-an-earlier-one",
        at: "config.md#configMounts",
        must: "The runtime MUST mount entries in the listed order.",
        needs: CONTAINER,
        check: |bench| {
            let report = mounted(
                bench,
                &[mount("/data", "tmpfs", &["size=64k"]), mount("/data", "tmpfs", &["size=128k"])],
            )?;
            report.mount("/data")?.has(&["size=128k"])
        },
    },
    Case {
        name: "mounts.relative-destination-is-below-the-root",
        at: "config.md#configMounts",
        must: "For compatibility with old tools and configurations, it MAY be a relative path, in which case it MUST be interpreted as relative to \"/\".",
        needs: CONTAINER,
        check: |bench| {
            mounted(bench, &[mount("data/relative", "tmpfs", &[])])?.mount("/data/relative").map(drop)
        },
    },
    Case {
        name: "mounts.tmpfs-options-reach-the-file-system",
        at: "config.md#configMounts",
        must: "Runtimes SHOULD treat unknown options as filesystem-specific ones and pass those as a comma-separated string to the fifth (`const void *data`) argument of mount(2).",
        needs: USERS,
        check: |bench| {
            let options = ["size=64k", "mode=711", "uid=5", "gid=6", "nr_inodes=100"];
            let report = mounted(bench, &[mount("/data", "tmpfs", &options)])?;
            report.mount("/data")?.has(&["size=64k", "mode=711", "uid=5", "gid=6", "nr_inodes=100"])
        },
    },
    Case {
        name: "mounts.flags-are-set",
        at: "config.md#configLinuxMountOptions",
        must: OPTIONS,
        needs: CONTAINER,
        check: |bench| {
            let flags = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"];
            mounted(bench, &[mount("/data", "tmpfs", &flags)])?.mount("/data")?.has(&flags)?;
            mounted(bench, &[mount("/data", "tmpfs", &["relatime", "sync", "dirsync"])])?
                .mount("/data")?
                .has(&["relatime", "sync", "dirsync"])
        },
    },
    Case {
        name: "mounts.every-required-option-is-taken",
        at: "config.md#configLinuxMountOptions",
        must: OPTIONS,
        needs: CONTAINER,
        check: |bench| {
            // every word of the table with a MUST that fits any new file system, with its opposite before it
            let pairs = [
                ["sync", "async"],
                ["noatime", "atime"],
                ["nodev", "dev"],
                ["nodiratime", "diratime"],
                ["noexec", "exec"],
                ["lazytime", "nolazytime"],
                ["silent", "loud"],
                ["relatime", "norelatime"],
                ["strictatime", "nostrictatime"],
                ["nosuid", "suid"],
                ["ro", "rw"],
            ];
            let mut options = vec!["dirsync", "size=64k"];
            options.extend(pairs.as_flattened());
            let mount = mounted(bench, &[mount("/data", "tmpfs", &options)])?.mount("/data")?;
            mount.has(&["rw", "dirsync", "size=64k"])
        },
    },
    Case {
        name: "mounts.remount-changes-what-is-there",
        at: "config.md#configLinuxMountOptions",
        must: "`remount`        | MUST        | Corresponds to `mount(8)` (filesystem-independent).",
        needs: CONTAINER,
        check: |bench| {
            let again = mount("/data", "tmpfs", &["remount", "ro", "nosuid"]);
            let report = mounted(bench, &[mount("/data", "tmpfs", &["size=64k"]), again])?;
            let mount = report.mount("/data")?;
            mount.has(&["ro", "nosuid", "size=64k"])?;
            expect_eq("kind", mount.kind, "tmpfs")
        },
    },
    Case {
        name: "mounts.nosymfollow-is-set",
        at: "config.md#configLinuxMountOptions",
        must: "`nosymfollow`    | SHOULD      | (Introduced in kernel 5.10, util-linux 2.38)",
        needs: CONTAINER,
        check: |bench| {
            mounted(bench, &[mount("/data", "tmpfs", &["nosymfollow"])])?
                .mount("/data")?
                .has(&["nosymfollow"])
        },
    },
    Case {
        name: "mounts.later-options-win",
        at: "config.md#configLinuxMountOptions",
        must: "The \"MUST\" options correspond to mount(8).",
        needs: CONTAINER,
        check: |bench| {
            let options = ["ro", "noexec", "nosuid", "rw", "exec", "size=64k"];
            let mount = mounted(bench, &[mount("/data", "tmpfs", &options)])?.mount("/data")?;
            mount.has(&["rw", "size=64k"])?;
            ensure!(!mount.options.contains("noexec"), "noexec is left: {:?}", mount.options);
            Ok(())
        },
    },
    Case {
        name: "mounts.defaults-is-no-option-of-the-file-system",
        at: "config.md#configLinuxMountOptions",
        must: "`defaults`       | MUST        | Corresponds to `mount(8)` (filesystem-independent).",
        needs: CONTAINER,
        check: |bench| {
            mounted(bench, &[mount("/data", "tmpfs", &["defaults"])])?.mount("/data")?.has(&["rw"])
        },
    },
    Case {
        name: "mounts.bind-shows-the-source",
        at: "config.md#configMounts",
        must: BIND,
        needs: CONTAINER,
        check: |bench| {
            let source = folder(bench, "source")?;
            let report = mounted(bench, &[bind(&source, "/data", &["bind"])])?;
            expect_eq("entries of /data", report.look("/data", "entries"), ["file", "sub"].as_slice())?;
            expect_eq("a write to it", report.look("/data", "write"), "ok")
        },
    },
    Case {
        name: "mounts.bind-read-only-is-read-only",
        at: "config.md#configLinuxMountOptions",
        must: OPTIONS,
        needs: CONTAINER,
        check: |bench| {
            let source = folder(bench, "source")?;
            let report =
                mounted(bench, &[bind(&source, "/data", &["rbind", "ro", "nosuid", "nodev", "noexec"])])?;
            expect_eq("a write to it", report.look("/data", "write"), "EROFS")?;
            report.mount("/data")?.has(&["ro", "nosuid", "nodev", "noexec"])?;
            ensure!(std::fs::write(source.join("new"), "").is_ok(), "the source itself has become read-only");
            Ok(())
        },
    },
    Case {
        name: "mounts.bind-of-a-file",
        at: "config.md#configMounts",
        must: "**`source`** (string, OPTIONAL) A device name, but can also be a file or directory name for bind mounts or a dummy.",
        needs: CONTAINER,
        check: |bench| {
            let source = folder(bench, "source")?.join("file");
            let setup = bench
                .reporter(["/etc/new/place"])?
                .set("/mounts/-", bind(&source, "/etc/new/place", &["bind"]))?;
            expect_eq("kind of the place", setup.report()?.look("/etc/new/place", "kind"), "file")
        },
    },
    Case {
        name: "mounts.bind-source-relative-to-the-bundle",
        at: "config.md#configMounts",
        must: "Path values for bind mounts are either absolute or relative to the bundle.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.reporter(["/data"])?;
            std::fs::create_dir(setup.bundle().join("beside"))?;
            std::fs::write(setup.bundle().join("beside/mark"), "")?;
            let setup = setup.set("/mounts/-", bind("beside".as_ref(), "/data", &["bind"]))?;
            expect_eq("entries of /data", setup.report()?.look("/data", "entries"), ["mark"].as_slice())
        },
    },
    Case {
        name: "mounts.bind-without-source-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.",
        needs: CONTAINER,
        check: |bench| {
            let entry = bind("/no/such/source".as_ref(), "/data", &["bind"]);
            bench.container(["pause"])?.set("/mounts/-", entry)?.refused().map(drop)
        },
    },
    Case {
        name: "mounts.unknown-file-system-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.",
        needs: CONTAINER,
        check: |bench| {
            let entry = mount("/data", "nosuchfs", &[]);
            bench.container(["pause"])?.set("/mounts/-", entry)?.refused().map(drop)
        },
    },
    Case {
        name: "mounts.rbind-takes-the-mounts-below",
        at: "config.md#configLinuxMountOptions",
        must: "`rbind`          | MUST        | Recursive bind mount",
        needs: ROOT,
        check: |bench| {
            let source = folder(bench, "source")?;
            let below = source.join("sub");
            nix::mount::mount(
                Some("none"),
                &below,
                Some("tmpfs"),
                nix::mount::MsFlags::empty(),
                None::<&str>,
            )?;
            std::fs::write(below.join("deep"), "")?;
            let entry = |options: &[&str]| bind(&source, "/data", options);
            let seen = [entry(&["rbind"]), entry(&["bind"])].map(|entry| {
                let setup = bench.reporter(["/data/sub"])?.set("/mounts/-", entry)?;
                Ok(setup.report()?.look("/data/sub", "entries"))
            });
            nix::mount::umount(&below)?;
            let [deep, flat]: [Result<_>; 2] = seen;
            expect_eq("entries below with rbind", deep?, ["deep"].as_slice())?;
            expect_eq("entries below with bind", flat?, json!([]))
        },
    },
    Case {
        name: "mounts.propagation-options-are-set",
        at: "config.md#configLinuxMountOptions",
        must: "`rprivate`       | MUST        | Bind mount propagation",
        needs: CONTAINER,
        check: |bench| {
            let source = folder(bench, "source")?;
            let of = |option: &str| -> Result<Vec<String>> {
                let report = mounted(bench, &[bind(&source, "/data", &["rbind", option])])?;
                Ok(report.mount("/data")?.propagation)
            };
            expect_eq("rprivate", of("rprivate")?, json!([]))?;
            expect_eq("unbindable", of("unbindable")?, ["unbindable"].as_slice())?;
            let shared = of("rshared")?;
            ensure!(shared.iter().any(|word| word.starts_with("shared:")), "rshared is {shared:?}");
            Ok(())
        },
    },
    Case {
        name: "mounts.destination-symlink-does-not-lead-out",
        at: "config.md#configMounts",
        must: "**`destination`** (string, REQUIRED) Destination of mount point: path inside container.",
        needs: CONTAINER,
        check: |bench| {
            let outside = folder(bench, "outside")?;
            let setup = bench.reporter([])?;
            std::os::unix::fs::symlink(&outside, setup.rootfs("/etc/link"))?;
            drop(setup.set("/mounts/-", mount("/etc/link/new", "tmpfs", &[]))?.try_create()?);
            ensure!(
                !outside.join("new").try_exists()?,
                "a mount point was made on the host, at {}",
                outside.display()
            );
            Ok(())
        },
    },
    Case {
        name: "mounts.usual-file-systems-are-there",
        at: "config-linux.md#configLinuxDefaultFilesystems",
        must: "The following filesystems SHOULD be made available in each container's filesystem:",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.report()?;
            for (place, kind) in
                [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")]
            {
                expect_eq(place, report.mount(place)?.kind, kind)?;
            }
            report.mount("/dev/shm")?.has(&["nosuid", "nodev", "noexec"]).context("/dev/shm")
        },
    },
    Case {
        name: "mounts.recursive-read-only-goes-all-the-way",
        at: "config.md#configLinuxMountOptions",
        must: "`rro`            | SHOULD      | Recursive `ro`",
        needs: ROOT,
        check: |bench| {
            let source = folder(bench, "source")?;
            let below = source.join("sub");
            nix::mount::mount(
                Some("none"),
                &below,
                Some("tmpfs"),
                nix::mount::MsFlags::empty(),
                None::<&str>,
            )?;
            let seen = (|| {
                let setup = bench
                    .reporter(["/data/sub"])?
                    .set("/mounts/-", bind(&source, "/data", &["rbind", "rro"]))?;
                Ok::<_, anyhow::Error>(setup.report()?.look("/data/sub", "write"))
            })();
            nix::mount::umount(&below)?;
            expect_eq("a write to a mount below", seen?, "EROFS")
        },
    },
];

/// What a container with these mounts beside the usual ones sees, with a closer look at /data.
fn mounted(bench: &Bench, entries: &[serde_json::Value]) -> Result<Report> {
    let mut setup = bench.reporter(["/data"])?;
    for entry in entries {
        setup = setup.set("/mounts/-", entry.clone())?;
    }
    setup.report()
}

/// A folder on the host with a file and a folder in it.
fn folder(bench: &Bench, name: &str) -> Result<std::path::PathBuf> {
    let dir = bench.dir().join(name);
    std::fs::create_dir_all(dir.join("sub"))?;
    std::fs::write(dir.join("file"), "of the host\n")?;
    Ok(dir)
}
