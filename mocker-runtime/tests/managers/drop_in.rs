//! The files and pages for managers that no Debian 12 has (CRI-O, BuildKit's own daemon, Nomad, a Kubernetes cluster):
//! held against what their manuals say, and every page's shape.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{INSTALLED, page};

fn toml(name: &str) -> Value {
    let text = page::read(name);
    let parsed = toml_span::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    plain(&parsed)
}

fn plain(value: &toml_span::Value<'_>) -> Value {
    use toml_span::value::ValueInner;
    match value.as_ref() {
        ValueInner::String(text) => text.as_ref().into(),
        ValueInner::Integer(number) => (*number).into(),
        ValueInner::Float(number) => (*number).into(),
        ValueInner::Boolean(truth) => (*truth).into(),
        ValueInner::Array(items) => items.iter().map(plain).collect(),
        ValueInner::Table(table) => table
            .iter()
            .map(|(key, value)| (key.name.to_string(), plain(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[track_caller]
fn has_only(table: &Value, documented: &[&str]) {
    let keys: BTreeSet<&str> = table.as_object().unwrap().keys().map(String::as_str).collect();
    let unknown: Vec<_> = keys.iter().filter(|key| !documented.contains(key)).collect();
    assert!(unknown.is_empty(), "not documented: {unknown:?}");
}

/// The keys of `crio.runtime.runtimes.HANDLER` in crio.conf(5).
const CRI_O: [&str; 16] = [
    "runtime_path",
    "runtime_type",
    "runtime_root",
    "runtime_config_path",
    "inherit_default_runtime",
    "monitor_path",
    "monitor_cgroup",
    "monitor_exec_cgroup",
    "monitor_env",
    "privileged_without_host_devices",
    "allowed_annotations",
    "platform_runtime_paths",
    "container_min_memory",
    "no_sync_log",
    "default_annotations",
    "stream_websockets",
];

#[test]
fn the_drop_ins_of_managers_that_cannot_be_had_say_what_their_manuals_know() {
    let crio = toml("cri-o.conf");
    let handler = &crio["crio"]["runtime"]["runtimes"]["mocker"];
    has_only(handler, &CRI_O);
    assert_eq!((&handler["runtime_path"], &handler["runtime_type"]), (&INSTALLED.into(), &"oci".into()));

    // buildkitd.toml(5): `binary` is the OCI worker's program
    let worker = &toml("buildkitd.toml")["worker"]["oci"];
    has_only(worker, &["enabled", "binary"]);
    assert_eq!(worker["binary"], INSTALLED);

    // Nomad's docker driver: `allow_runtimes` among the plugin's options, by the names that dockerd knows
    let nomad = page::read("nomad.hcl");
    let words: Vec<&str> =
        nomad.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let want = r#"plugin "docker" { config { allow_runtimes = ["runc", "mocker"] } }"#;
    assert_eq!(words.join(" "), want);
    let docker: Value = serde_json::from_str(&page::read("docker.json")).unwrap();
    assert_eq!(docker["runtimes"]["mocker"]["path"], INSTALLED);

    // node.k8s.io/v1: the name is what a pod says, the handler what containerd's and CRI-O's files call it
    let class = page::read("runtimeclass.yaml");
    assert_eq!(
        class,
        "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: mocker\nhandler: mocker\n"
    );
    for (file, at) in [
        ("containerd-1.toml", "io.containerd.grpc.v1.cri"),
        ("containerd-2.toml", "io.containerd.cri.v1.runtime"),
    ] {
        let handler = &toml(file)["plugins"][at]["containerd"]["runtimes"]["mocker"];
        assert_eq!(handler["options"]["BinaryName"], INSTALLED, "{file}");
    }
}

/// Lines of commands, not counting how one goes on.
fn commands(page: &str, heading: &str) -> usize {
    let (_, section) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}: {page}"));
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).count()
}

#[test]
fn each_page_has_three_commands_to_install_one_to_see_and_one_to_go_back() {
    let pages = [
        "containerd",
        "containerd-1",
        "kubernetes",
        "cri-o",
        "podman",
        "docker",
        "buildah",
        "buildkit",
        "nomad",
    ];
    let overview = page::read("README.md");
    for name in pages {
        let text = page::read(&format!("{name}.md"));
        let counts = ["Install", "See that it works", "Go back"].map(|heading| commands(&text, heading));
        assert_eq!(counts, [3, 1, 1], "{name}");
        assert!(overview.contains(&format!("({name}.md)")), "{name}");
    }
}
