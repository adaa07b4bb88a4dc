//! What a machine may lack and a configuration may ask for all the same.

use serde_json::json;

use super::CONTAINER;
use crate::case::Case;

const APPLY: &str = "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "labels.unknown-apparmor-profile-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/process/apparmorProfile", "no_such_profile_of_conformance")?.refused_by_start()
        },
    },
    Case {
        name: "labels.selinux-label-that-cannot-be-set-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/process/selinuxLabel", "no_u:such_r:label_t:s0")?.refused_by_start()
        },
    },
    Case {
        name: "labels.mount-label-that-cannot-be-set-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/linux/mountLabel", "no_u:such_r:label_t:s0")?.refused_by_start()
        },
    },
    Case {
        name: "intel-rdt.unknown-class-is-an-error",
        at: "config-linux.md#configLinuxIntelRdt",
        must: "If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let class = json!({ "closID": "no-such-class-of-conformance" });
            bench.container(["pause"])?.set("/linux/intelRdt", class)?.refused().map(drop)
        },
    },
];
