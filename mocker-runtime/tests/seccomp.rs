//! The filter in force: for init and for exec, with and without no_new_privs.

mod common;

use common::Bundle;
use conformance::host::{Need, skip};
use serde_json::{Value, json};

/// Everything is allowed but making directories, which gives an error number of its own.
fn profile() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
    })
}

#[test]
fn the_filter_holds_for_the_program_and_for_exec_with_and_without_no_new_privs() {
    let test = "the_filter_holds_for_the_program_and_for_exec_with_and_without_no_new_privs";
    if skip(test, Need::Root) {
        return;
    }
    for no_new_privs in [true, false] {
        let bundle = Bundle::shell("mkdir /made; while read -r n v; do case $n in Seccomp:) echo $v;; esac; done </proc/self/status; sleep 1000")
            .set("/linux/seccomp", profile())
            .set("/process/noNewPrivileges", json!(no_new_privs));
        bundle.start();
        let call = bundle.call(&["exec", &bundle.id, "mkdir", "/made"]);
        assert!(call.code == 1 && call.err.contains("not supported"), "{no_new_privs}: {call:?}");
        conformance::host::wait_until(common::LIMIT, "the program's output", || {
            bundle.output().contains('2')
        })
        .unwrap();
        let said = std::fs::read_to_string(bundle.path().join("err")).unwrap();
        assert!(said.contains("not supported"), "{said}");
        bundle.call(&["delete", "--force", &bundle.id]).ok();
    }
}

#[test]
fn a_user_without_rights_keeps_none_after_the_filter_is_loaded() {
    if skip("a_user_without_rights_keeps_none_after_the_filter_is_loaded", Need::Root) {
        return;
    }
    for capabilities in [json!({}), Value::Null] {
        let look =
            "while read -r n v; do case $n in CapEff:|CapPrm:) echo $v;; esac; done </proc/self/status";
        let bundle = Bundle::shell(look)
            .set("/linux/seccomp", profile())
            .set("/process/noNewPrivileges", json!(false))
            .set("/process/user", json!({ "uid": 7, "gid": 7 }))
            .set("/process/capabilities", capabilities);
        assert_eq!(bundle.run().ok(), "0000000000000000\n".repeat(2));
    }
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist() {
    if skip("a_call_newer_than_the_profile_does_not_exist", Need::Root) {
        return;
    }
    // The profile denies by default and names nothing newer than openat2 (437), so that what busybox needs is
    // there and a program that probes for later calls is told the truth.
    let names: Vec<String> = syscalls::x86_64::Sysno::iter()
        .filter(|call| call.id() <= 437)
        .map(|call| call.name().to_owned())
        .collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    });
    let bundle = Bundle::shell("echo runs").set("/linux/seccomp", profile);
    assert_eq!(bundle.run().ok(), "runs\n");
}

#[test]
fn a_profile_that_cannot_be_compiled_is_refused_before_anything_is_made() {
    let bundle = Bundle::new(&["true"]).set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_TEA" }));
    bundle.run().fails("linux.seccomp: defaultAction: unknown action \"SCMP_ACT_TEA\"");
    bundle.assert_nothing_left();
}
