//! Mutants whose features document says what is not so.

use serde_json::{Value, json};

use super::{Change, Mutant};

/// One that adds a word to an array of the document.
macro_rules! promise {
    ($name:literal, $pointer:literal, $word:literal, $case:literal) => {
        Mutant {
            name: $name,
            caught_by: &[$case],
            change: Change::Prints("features", |document| add(document, $pointer, $word)),
        }
    };
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "has-a-command-that-never-tells-its-features",
        caught_by: &["features.is-a-json-document", "features.has-no-other-properties"],
        change: Change::Refuses("features"),
    },
    Mutant {
        name: "promises-a-newest-version-below-the-oldest",
        caught_by: &["features.newest-version-is-not-below-the-oldest"],
        change: Change::Prints("features", |document| document["ociVersionMax"] = json!("0.9.0")),
    },
    Mutant {
        name: "promises-an-oldest-version-that-is-none",
        caught_by: &["features.oldest-version-is-accepted"],
        change: Change::Prints("features", |document| document["ociVersionMin"] = json!("one")),
    },
    Mutant {
        name: "promises-a-newest-version-that-is-none",
        caught_by: &["features.newest-version-is-accepted"],
        change: Change::Prints("features", |document| document["ociVersionMax"] = json!("one")),
    },
    Mutant {
        name: "promises-what-the-specification-does-not-know",
        caught_by: &["features.has-no-other-properties"],
        change: Change::Prints("features", |document| document["tea"] = json!(true)),
    },
    Mutant {
        name: "promises-with-annotations-that-are-no-text",
        caught_by: &["features.annotations-are-a-map-of-strings"],
        change: Change::Prints("features", |document| document["annotations"] = json!({ "tea": 1 })),
    },
    promise!("promises-another-hook", "/hooks", "pretea", "features.hooks-are-run"),
    promise!(
        "promises-another-mount-option",
        "/mountOptions",
        "tea",
        "features.mount-options-are-recognized"
    ),
    promise!("promises-another-namespace", "/linux/namespaces", "tea", "features.namespaces-are-recognized"),
    promise!(
        "promises-another-capability",
        "/linux/capabilities",
        "CAP_TEA",
        "features.capabilities-are-recognized"
    ),
    promise!(
        "promises-an-option-of-a-file-system",
        "/mountOptions",
        "size=64k",
        "features.mount-options-are-not-those-of-a-file-system"
    ),
    promise!(
        "promises-another-architecture",
        "/linux/seccomp/archs",
        "SCMP_ARCH_TEA",
        "features.seccomp-architectures-are-recognized"
    ),
    promise!(
        "promises-another-action",
        "/linux/seccomp/actions",
        "SCMP_ACT_TEA",
        "features.seccomp-words-are-recognized"
    ),
    promise!(
        "promises-another-operator",
        "/linux/seccomp/operators",
        "SCMP_CMP_TEA",
        "features.seccomp-words-are-recognized"
    ),
    promise!(
        "promises-another-flag",
        "/linux/seccomp/supportedFlags",
        "SECCOMP_FILTER_FLAG_TEA",
        "features.seccomp-words-are-recognized"
    ),
    promise!(
        "promises-another-mode-of-memory",
        "/linux/memoryPolicy/modes",
        "MPOL_TEA",
        "features.modes-of-memory-policies-are-recognized"
    ),
    promise!(
        "promises-another-flag-of-memory",
        "/linux/memoryPolicy/flags",
        "MPOL_F_TEA",
        "features.flags-of-memory-policies-are-recognized"
    ),
];

fn add(document: &mut Value, pointer: &str, word: &str) {
    if let Some(Value::Array(list)) = document.pointer_mut(pointer) {
        list.push(json!(word));
    }
}
