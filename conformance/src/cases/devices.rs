//! config-linux.md#configLinuxDevices, the default ones, the links of /dev, and the allowed list.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{CONTAINER, ROOT, USERS};
use crate::case::{Bench, Case, expect_eq};

const DEFAULT: &str =
    "In addition to any devices configured with this setting, the runtime MUST also supply:";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "devices.default-ones-are-there",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: DEFAULT,
        needs: CONTAINER,
        check: |bench| {
            let devices = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9), ("tty", 0)];
            let paths = devices.map(|(name, _)| format!("/dev/{name}"));
            let report = bench.reporter(paths.iter().map(String::as_str))?.report()?;
            for ((name, minor), path) in devices.iter().zip(&paths) {
                let major = if *name == "tty" { 5 } else { 1 };
                expect_eq(&format!("kind of {path}"), report.look(path, "kind"), "char")?;
                expect_eq(&format!("major of {path}"), report.look(path, "major"), major)?;
                expect_eq(&format!("minor of {path}"), report.look(path, "minor"), *minor)?;
                expect_eq(&format!("mode of {path}"), report.look(path, "mode"), 0o666)?;
            }
            Ok(())
        },
    },
    Case {
        name: "devices.default-ones-can-be-used",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: DEFAULT,
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/dev/null", "/dev/zero", "/dev/urandom"])?.report()?;
            expect_eq("a write to /dev/null", report.look("/dev/null", "write"), "ok")?;
            expect_eq("a read of /dev/zero", report.look("/dev/zero", "read"), "ok")?;
            expect_eq("a read of /dev/urandom", report.look("/dev/urandom", "read"), "ok")
        },
    },
    Case {
        name: "devices.default-ones-can-be-used-by-a-user",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: DEFAULT,
        needs: USERS,
        check: |bench| {
            let setup =
                bench.reporter(["/dev/null"])?.set("/process/user", json!({ "uid": 1000, "gid": 1000 }))?;
            expect_eq("a write to /dev/null", setup.report()?.look("/dev/null", "write"), "ok")
        },
    },
    Case {
        name: "devices.ptmx-is-of-the-containers-devpts",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: "`/dev/ptmx`. A bind-mount or symlink of the container's `/dev/pts/ptmx`.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/dev/ptmx", "/dev/pts"])?.report()?;
            let link = report.look("/dev/ptmx", "link");
            let bound = report.mount("/dev/ptmx").is_ok_and(|mount| mount.kind == "devpts");
            ensure!(bound || link == "pts/ptmx" || link == "/dev/pts/ptmx", "/dev/ptmx leads to {link}");
            expect_eq("entries of /dev/pts", report.look("/dev/pts", "entries"), ["ptmx"].as_slice())
        },
    },
    Case {
        name: "devices.links-of-dev-are-there",
        at: "runtime-linux.md#runtimeLinuxDevSymbolicLinks",
        must: "While creating the container (step 2 in the lifecycle), runtimes MUST create the following symlinks if the source file exists after processing `mounts`:",
        needs: CONTAINER,
        check: |bench| {
            let links = [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")];
            let paths = links.map(|(name, _)| format!("/dev/{name}"));
            let report = bench.reporter(paths.iter().map(String::as_str))?.report()?;
            for ((_, end), path) in links.iter().zip(&paths) {
                expect_eq(path, report.look(path, "link"), format!("/proc/self/fd{end}"))?;
            }
            Ok(())
        },
    },
    Case {
        name: "devices.no-console-without-a-terminal",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: "`/dev/console` is set up if `terminal` is enabled in the config by bind mounting the pseudoterminal pty to `/dev/console`.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/dev/console"])?.report()?;
            ensure!(report.mount("/dev/console").is_err(), "something is mounted at /dev/console");
            Ok(())
        },
    },
    Case {
        name: "devices.configured-one-is-there",
        at: "config-linux.md#configLinuxDevices",
        must: "**`devices`** (array of objects, OPTIONAL) lists devices that MUST be available in the container.",
        needs: ROOT,
        check: |bench| {
            let device = json!({ "path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6 });
            let report = bench.reporter(["/dev/mine"])?.set("/linux/devices/-", device)?.report()?;
            let wanted = [
                ("kind", json!("char")),
                ("major", json!(10)),
                ("minor", json!(229)),
                ("mode", json!(0o640)),
                ("uid", json!(5)),
                ("gid", json!(6)),
            ];
            for (member, want) in wanted {
                expect_eq(&format!("{member} of /dev/mine"), report.look("/dev/mine", member), want)?;
            }
            Ok(())
        },
    },
    Case {
        name: "devices.mode-is-not-cut-by-the-umask",
        at: "config-linux.md#configLinuxDevices",
        must: "**`fileMode`** *(uint32, OPTIONAL)* - file mode for the device. Note it is a decimal (not an octal) number.",
        needs: ROOT,
        check: |bench| {
            let device =
                json!({ "path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666 });
            let setup = bench.reporter(["/dev/mine"])?.set("/linux/devices/-", device)?;
            expect_eq(
                "mode",
                setup.set("/process/user/umask", 0o077)?.report()?.look("/dev/mine", "mode"),
                0o666,
            )
        },
    },
    Case {
        name: "devices.anywhere-and-of-each-type",
        at: "config-linux.md#configLinuxDevices",
        must: "The path MAY be anywhere in the container filesystem, notably outside of `/dev`.",
        needs: ROOT,
        check: |bench| {
            let devices = json!([
                { "path": "/data/deep/block", "type": "b", "major": 7, "minor": 99 },
                { "path": "/data/pipe", "type": "p" },
                { "path": "/data/char", "type": "u", "major": 1, "minor": 3 },
            ]);
            let setup = bench.reporter(["/data/deep/block", "/data/pipe", "/data/char"])?;
            let report = setup.set("/linux/devices", devices)?.report()?;
            expect_eq("kind of the block device", report.look("/data/deep/block", "kind"), "block")?;
            expect_eq("kind of the pipe", report.look("/data/pipe", "kind"), "fifo")?;
            expect_eq("kind of the unbuffered device", report.look("/data/char", "kind"), "char")
        },
    },
    Case {
        name: "devices.another-file-in-the-place-is-an-error",
        at: "config-linux.md#configLinuxDevices",
        must: "If a file already exists at `path` that does not match the requested device, the runtime MUST generate an error.",
        needs: ROOT,
        check: |bench| {
            let device = json!({ "path": "/etc/file", "type": "c", "major": 1, "minor": 3 });
            bench.container(["pause"])?.set("/linux/devices/-", device)?.refused().map(drop)
        },
    },
    Case {
        name: "devices.same-device-in-the-place-is-none",
        at: "config-linux.md#configLinuxDevices",
        must: "If a file already exists at `path` that does not match the requested device, the runtime MUST generate an error.",
        needs: ROOT,
        check: |bench| {
            let setup = bench.reporter(["/data/null"])?;
            let place = setup.rootfs("/data/null");
            ensure!(
                std::process::Command::new("mknod").arg(&place).args(["c", "1", "3"]).status()?.success(),
                "mknod"
            );
            let device = json!({ "path": "/data/null", "type": "c", "major": 1, "minor": 3 });
            expect_eq(
                "kind",
                setup.set("/linux/devices/-", device)?.report()?.look("/data/null", "kind"),
                "char",
            )
        },
    },
    Case {
        name: "devices.unknown-type-is-an-error",
        at: "config-linux.md#configLinuxDevices",
        must: "**`type`** *(string, REQUIRED)* - type of device: `c`, `b`, `u` or `p`.",
        needs: ROOT,
        check: |bench| {
            let device = json!({ "path": "/dev/mine", "type": "x", "major": 1, "minor": 3 });
            bench.container(["pause"])?.set("/linux/devices/-", device)?.refused().map(drop)
        },
    },
    Case {
        name: "devices.not-allowed-one-cannot-be-opened",
        at: "config-linux.md#configLinuxDeviceAllowedlist",
        must: "**`devices`** (array of objects, OPTIONAL) configures the allowed device list.",
        needs: ROOT,
        check: |bench| {
            let seen = opened(bench, json!([{ "allow": false, "access": "rwm" }]))?;
            expect_eq("reading /data/loop", seen.0, "EPERM")?;
            expect_eq("writing it", seen.1, "EPERM")
        },
    },
    Case {
        name: "devices.allowed-list-is-applied-in-order",
        at: "config-linux.md#configLinuxDeviceAllowedlist",
        must: "The runtime MUST apply entries in the listed order.",
        needs: ROOT,
        check: |bench| {
            let all = json!({ "allow": false, "access": "rwm" });
            let read = json!({ "allow": true, "type": "c", "major": 10, "minor": 237, "access": "r" });
            let (reads, writes) = opened(bench, json!([all, read]))?;
            ensure!(reads != "EPERM", "reading is refused though it is allowed last");
            expect_eq("writing", writes, "EPERM")?;
            let (reads, _) = opened(bench, json!([read, all]))?;
            expect_eq("reading when all is denied last", reads, "EPERM")
        },
    },
];

/// What a read and a write of a node for /dev/loop-control (10:237) say; without its driver any word but EPERM under this list.
fn opened(bench: &Bench, list: Value) -> Result<(Value, Value)> {
    let setup = bench.reporter(["/data/loop"])?.set("/linux/resources/devices", list)?;
    let place = setup.rootfs("/data/loop");
    ensure!(
        std::process::Command::new("mknod").arg(&place).args(["c", "10", "237"]).status()?.success(),
        "mknod"
    );
    let report = setup.report()?;
    Ok((report.look("/data/loop", "read"), report.look("/data/loop", "write")))
}
