//! Mutants that spoil config.json.

use serde_json::{Value, json};

use super::{Change, Mutant};
use crate::bundle;

fn put(config: &mut Value, pointer: &str, value: Value) {
    // where the pointer leads nowhere this mutant does nothing wrong, and its case says so
    bundle::set(config, pointer, value).ok();
}

fn annotate(config: &mut Value, name: &str, value: &str) {
    if config["annotations"].is_null() {
        config["annotations"] = json!({});
    }
    config["annotations"][name] = json!(value);
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "starts-at-the-root",
        caught_by: &["conversion.working-dir-is-cwd"],
        change: Change::Config(|config| put(config, "/process/cwd", json!("/"))),
    },
    Mutant {
        name: "starts-nowhere",
        caught_by: &["conversion.no-working-dir-is-an-absolute-cwd", "conversion.null-is-absent"],
        change: Change::Config(|config| put(config, "/process/cwd", json!(""))),
    },
    Mutant {
        name: "starts-a-shell",
        caught_by: &["conversion.cmd-is-args", "conversion.entrypoint-is-args", "conversion.null-is-absent"],
        change: Change::Config(|config| put(config, "/process/args", json!(["sh"]))),
    },
    Mutant {
        name: "forgets-the-command-behind-an-entrypoint",
        caught_by: &["conversion.cmd-is-appended-to-entrypoint"],
        change: Change::Config(|config| {
            config["process"]["args"].as_array_mut().map(Vec::pop);
        }),
    },
    Mutant {
        name: "believes-embedded-data",
        caught_by: &["descriptor.embedded-data-takes-nobodys-place"],
        change: Change::Config(|config| put(config, "/process/args", json!(["/evil"]))),
    },
    Mutant {
        name: "forgets-the-environment",
        caught_by: &["conversion.env-is-env", "conversion.defaults-change-no-variable"],
        change: Change::Config(|config| put(config, "/process/env", json!(["PATH=/bin"]))),
    },
    Mutant {
        name: "adds-variables-of-its-own",
        caught_by: &["conversion.env-has-no-second-value-of-a-variable"],
        change: Change::Config(|config| put(config, "/process/env/-", json!("HOME=/root"))),
    },
    Mutant {
        name: "has-its-root-elsewhere",
        caught_by: &["conversion.root-is-the-tree"],
        change: Change::Config(|config| put(config, "/root/path", json!("elsewhere"))),
    },
    Mutant {
        name: "makes-no-volumes",
        caught_by: &["conversion.volumes-are-mounts"],
        change: Change::Config(|config| put(config, "/mounts", json!([]))),
    },
    Mutant {
        name: "runs-all-as-root",
        caught_by: &[
            "user.number-is-the-uid",
            "user.numbers-are-uid-and-gid",
            "user.name-is-looked-up-in-the-image",
            "user.name-has-its-first-group",
            "user.name-of-a-group-is-looked-up-in-the-image",
            "user.number-with-the-name-of-a-group",
        ],
        change: Change::Config(|config| put(config, "/process/user", json!({ "uid": 0, "gid": 0 }))),
    },
    Mutant {
        name: "forgets-further-groups",
        caught_by: &["user.name-has-the-groups-that-list-it"],
        change: Change::Config(|config| put(config, "/process/user/additionalGids", json!([]))),
    },
    Mutant {
        name: "gives-everybody-a-group",
        caught_by: &["user.number-has-no-further-groups", "user.with-a-group-has-no-further-ones"],
        change: Change::Config(|config| put(config, "/process/user/additionalGids", json!([4]))),
    },
    Mutant {
        name: "annotates-nothing",
        caught_by: &[
            "annotation.os",
            "annotation.architecture",
            "annotation.variant",
            "annotation.os-version",
            "annotation.os-features",
            "annotation.author",
            "annotation.created",
            "annotation.stop-signal",
            "annotation.labels",
            "annotation.exposed-ports",
        ],
        change: Change::Config(|config| bundle::remove(config, "/annotations")),
    },
    Mutant {
        name: "prefers-everything-to-labels",
        caught_by: &[
            "annotation.label-wins-over-a-field",
            "annotation.label-wins-over-the-platform",
            "annotation.label-wins-over-the-manifest",
        ],
        change: Change::Config(|config| {
            annotate(config, "org.opencontainers.image.author", "field");
            annotate(config, "org.opencontainers.image.os", "linux");
            annotate(config, "org.example.key", "manifest");
        }),
    },
    Mutant {
        name: "takes-annotations-of-manifests",
        caught_by: &["annotation.of-the-manifest-is-not-taken", "annotation.of-the-index-is-not-taken"],
        change: Change::Config(|config| annotate(config, "org.example.gone", "1")),
    },
];
