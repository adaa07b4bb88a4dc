//! Every property of the specification's schemas is honoured or refused; ARCHITECTURE.md says which, and by what.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::Bundle;
use serde_json::{Value, json};

/// The members of each object of runtime-spec 1.3, with the name of the object: our own list, from
/// config-schema.json, config-linux.json and what they refer to.
const PROPERTIES: &[(&str, &str)] = &[
    (
        "",
        "ociVersion root hostname domainname annotations hooks mounts process linux vm windows solaris zos freebsd",
    ),
    ("root", "path readonly"),
    ("hooks", "prestart createRuntime createContainer startContainer poststart poststop"),
    ("hooks.prestart[]", "path args env timeout"),
    ("mounts[]", "destination source type options uidMappings gidMappings"),
    ("mounts[].uidMappings[]", "containerID hostID size"),
    ("mounts[].gidMappings[]", "containerID hostID size"),
    (
        "process",
        "args env cwd commandLine terminal consoleSize user capabilities apparmorProfile selinuxLabel oomScoreAdj ioPriority scheduler noNewPrivileges rlimits execCPUAffinity",
    ),
    ("process.consoleSize", "height width"),
    ("process.user", "uid gid umask additionalGids username"),
    ("process.capabilities", "bounding permitted effective inheritable ambient"),
    (
        "linux",
        "mountLabel devices netDevices uidMappings gidMappings namespaces timeOffsets cgroupsPath resources rootfsPropagation seccomp sysctl maskedPaths readonlyPaths intelRdt memoryPolicy personality",
    ),
    ("process.ioPriority", "class priority"),
    ("process.scheduler", "policy nice priority flags runtime deadline period"),
    ("process.rlimits[]", "type soft hard"),
    ("process.execCPUAffinity", "initial final"),
    ("linux.devices[]", "path type major minor fileMode uid gid"),
    ("linux.netDevices", "NAME"),
    ("linux.netDevices.NAME", "name"),
    ("linux.uidMappings[]", "containerID hostID size"),
    ("linux.gidMappings[]", "containerID hostID size"),
    ("linux.namespaces[]", "type path"),
    ("linux.timeOffsets", "boottime monotonic"),
    ("linux.timeOffsets.boottime", "secs nanosecs"),
    ("linux.timeOffsets.monotonic", "secs nanosecs"),
    ("linux.resources", "unified devices pids blockIO cpu hugepageLimits network rdma memory"),
    ("linux.resources.devices[]", "allow type major minor access"),
    ("linux.resources.pids", "limit"),
    (
        "linux.resources.blockIO",
        "weight leafWeight weightDevice throttleReadBpsDevice throttleWriteBpsDevice throttleReadIOPSDevice throttleWriteIOPSDevice",
    ),
    ("linux.resources.blockIO.weightDevice[]", "major minor weight leafWeight"),
    ("linux.resources.blockIO.throttleReadBpsDevice[]", "major minor rate"),
    ("linux.resources.cpu", "shares quota period burst realtimeRuntime realtimePeriod cpus mems idle"),
    ("linux.resources.hugepageLimits[]", "pageSize limit"),
    ("linux.resources.network", "classID priorities"),
    ("linux.resources.network.priorities[]", "name priority"),
    ("linux.resources.rdma.NAME", "hcaHandles hcaObjects"),
    (
        "linux.resources.memory",
        "limit reservation swap kernel kernelTCP swappiness disableOOMKiller useHierarchy checkBeforeUpdate",
    ),
    (
        "linux.seccomp",
        "defaultAction defaultErrnoRet architectures flags syscalls listenerPath listenerMetadata",
    ),
    ("linux.seccomp.syscalls[]", "names action errnoRet args"),
    ("linux.seccomp.syscalls[].args[]", "index value valueTwo op"),
    ("linux.intelRdt", "closID schemata l3CacheSchema memBwSchema enableMonitoring"),
    ("linux.memoryPolicy", "mode nodes flags"),
    ("linux.personality", "domain flags"),
];

fn properties() -> BTreeSet<String> {
    let name = |object: &str, member: &str| match object {
        "" => member.to_owned(),
        _ => format!("{object}.{member}"),
    };
    PROPERTIES
        .iter()
        .flat_map(|(object, members)| members.split(' ').map(|member| name(object, member)))
        .collect()
}

/// The rows of the table: properties, and what holds them.
fn table() -> Vec<(Vec<String>, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("### Every property of config.json").unwrap();
    let rows =
        section.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        (words(cells[0]), cells[1].to_owned())
    })
    .collect()
}

/// What stands between backquotes.
fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All text in which a test or a case can have its name.
fn sources(dir: &Path, out: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_table_has_every_property_once_and_every_test_that_it_names_is_there() {
    let rows = table();
    let named: Vec<&String> = rows.iter().flat_map(|(names, _)| names).collect();
    let once: BTreeSet<String> = named.iter().map(|name| (*name).clone()).collect();
    assert_eq!((once.len(), once), (named.len(), properties()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for dir in ["src", "tests", "../conformance/src/cases", "../conformance/tests"] {
        sources(&root.join(dir), &mut text);
    }
    for test in rows.iter().flat_map(|(_, held)| words(held)) {
        let there =
            [format!("fn {test}("), format!("name: \"{test}\"")].iter().any(|name| text.contains(name));
        assert!(there, "nothing has the name {test}");
    }
}

/// A bundle in whose config one property has that value, and the others are as usual.
fn with(bundle: Bundle, property: &str, value: Value) -> Bundle {
    let pointer: String = property
        .split('.')
        .map(|member| match member.strip_suffix("[]") {
            Some(list) => format!("/{list}/0"),
            None => format!("/{member}"),
        })
        .collect();
    let mut bundle = bundle;
    bundle.config = conformance::bundle::usual_config(&["true".to_owned()]);
    // A list that the usual config has may have a first entry already; a new one begins with it.
    for (at, _) in pointer.match_indices("/0") {
        let list = &pointer[..at];
        if bundle.config.pointer(list).is_none_or(|list| !list.is_array()) {
            bundle = bundle.set(list, json!([{}]));
        }
    }
    bundle.set(&pointer, value)
}

#[test]
fn a_property_of_the_wrong_kind_is_an_error_so_none_is_overlooked() {
    let mut bundle = Bundle::new(&["true"]);
    for property in properties() {
        let mut told = false;
        for value in [json!(7.5), json!({ "rhubarb": true })] {
            bundle = with(bundle, &property, value);
            let call = bundle.run();
            let words = ["invalid type", "is not supported"];
            told |= call.code == 1 && words.iter().any(|word| call.err.contains(word));
        }
        assert!(told, "{property} can be anything");
    }
}

#[test]
fn what_the_table_calls_refused_is_refused_by_name() {
    let refused: Vec<String> =
        table().into_iter().filter(|(_, held)| held == "refused").flat_map(|(names, _)| names).collect();
    assert!(refused.contains(&"vm".to_owned()));
    for property in refused {
        let value = if property.contains('.') { json!("value") } else { json!({}) };
        let bundle = with(Bundle::new(&["true"]), &property, value);
        let call = bundle.run();
        assert!(call.code == 1 && call.err.contains(&property), "{property}: {call:?}");
        bundle.assert_nothing_left();
    }
}
