//! The architecture's rules, held over the source tree.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

/// Lines of a source file before its tests.
const FILE_LIMIT: usize = 400;
/// Lines of a script.
const SCRIPT_LIMIT: usize = 50;

/// Files over the limit, and why.
const LONG_FILES: &[(&str, &str)] = &[];
/// Scripts over the limit, and why.
const LONG_SCRIPTS: &[(&str, &str)] =
    &[("scripts/testvm", "a machine's whole life is one sequence, and reads best in one piece")];

struct Source {
    /// From the repository's root: `mocker-image/src/store.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The text before `#[cfg(test)] mod ... {`.
    fn code(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod ");
        end.map_or(self.text.as_str(), |end| &self.text[..end])
    }

    /// The lines of it that are no comments, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code()
            .lines()
            .enumerate()
            .map(|(n, line)| (n + 1, line.trim()))
            .filter(|(_, line)| !line.starts_with("//"))
    }

    /// Whether it belongs to this module: `plan` is plan.rs and all below plan/.
    fn is_of(&self, module: &str) -> bool {
        let at = |crate_name: &str| {
            let prefix = format!("{crate_name}/src/{module}");
            self.path == format!("{prefix}.rs") || self.path.starts_with(&format!("{prefix}/"))
        };
        at("mocker-runtime") || at("mocker-image")
    }

    fn is_of_a_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.contains("/fuzz/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn files(dir: &Path, keep: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(listing) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in listing {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !name.starts_with("target") && !name.starts_with('.') {
            files(&path, keep, found);
        } else if path.is_file() && keep(&path) {
            found.push(path);
        }
    }
}

fn read(paths: Vec<PathBuf>) -> Vec<Source> {
    let mut sources: Vec<Source> = paths
        .into_iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some(Source { path: path.strip_prefix(root()).unwrap().display().to_string(), text })
        })
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "nothing to read below {}", root().display());
    sources
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for package in ["mocker-runtime", "mocker-image", "conformance"] {
        files(&root().join(package), &|path| path.extension().is_some_and(|end| end == "rs"), &mut found);
    }
    read(found)
}

fn scripts() -> Vec<Source> {
    let mut found = Vec::new();
    files(&root().join("scripts"), &|_| true, &mut found);
    let ci = root().join(".ci/run");
    found.extend(ci.is_file().then_some(ci));
    read(found)
}

fn excused(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(held, _)| *held == path)
}

/// Fails with one line for each breach.
fn none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

/// Lines of files that `of` picks and that hold one of these words.
fn holding(of: impl Fn(&Source) -> bool, words: &[&str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| of(source)) {
        for (n, line) in source.lines() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                breaches.push(format!("{}:{n}: {word} in: {line}", source.path));
            }
        }
    }
    breaches
}

#[test]
fn a_file_has_400_lines_at_most_before_its_tests() {
    let long = |source: &Source| {
        let lines = source.code().lines().count();
        let breach = lines > FILE_LIMIT && !source.is_of_a_test() && !excused(LONG_FILES, &source.path);
        breach.then(|| format!("{}: {lines} lines", source.path))
    };
    none(sources().iter().filter_map(long).collect());
}

#[test]
fn a_module_is_no_mod_rs_but_for_what_tests_share() {
    let odd =
        |source: &&Source| source.path.ends_with("/mod.rs") && !source.path.ends_with("/tests/common/mod.rs");
    none(sources().iter().filter(odd).map(|source| source.path.clone()).collect());
}

#[test]
fn unsafe_stands_behind_the_door_to_the_kernel() {
    let outside = |source: &Source| {
        !source.path.contains("/src/sys") && !source.is_of_a_test() && !source.path.ends_with("tidy.rs")
    };
    none(holding(
        outside,
        &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code", "expect(unsafe_code"],
    ));
}

#[test]
fn plan_is_pure() {
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "crate::sys",
        "rustix::",
        "nix::",
        "File::",
        "super::sys",
    ];
    none(holding(|source| source.is_of("plan") && !source.is_of_a_test(), &words));
}

#[test]
fn sys_knows_nothing_of_ours_but_the_error_and_the_kernels_structures() {
    let mut breaches = holding(|source| source.is_of("sys"), &["crate::"]);
    breaches.retain(|breach| {
        let line = breach.split(" in: ").nth(1).unwrap_or_default();
        let names = line.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        });
        names.into_iter().any(|name| !["error", "sys", "abi"].iter().any(|known| name.starts_with(known)))
    });
    none(breaches);
}

#[test]
fn registry_and_store_never_see_each_other() {
    let mut breaches = holding(|source| source.is_of("registry"), &["crate::store", "store::Store"]);
    breaches.extend(holding(|source| source.is_of("store"), &["crate::registry", "registry::Registry"]));
    none(breaches);
}

#[test]
fn the_suite_calls_programs_and_depends_on_none_of_their_crates() {
    let manifest = std::fs::read_to_string(root().join("conformance/Cargo.toml")).unwrap();
    assert!(!manifest.contains("mocker-"), "conformance/Cargo.toml names a crate that it proves");
    let own = |source: &Source| source.path.starts_with("conformance/") && !source.path.ends_with("tidy.rs");
    none(holding(own, &["mocker_runtime::", "mocker_image::"]));
}

#[test]
fn only_the_command_line_prints() {
    let inner = |source: &Source| {
        let speaks = source.path.ends_with("/main.rs")
            || source.path.ends_with("/cli.rs")
            || source.path.contains("/cli/");
        // the probe's report is its purpose; what a build script prints is for cargo; a skip has to be seen in a
        // test's output; warnings and the last word on a failure go to stderr through one place, which knows the
        // log file too
        let excused = source.path.contains("/bin/")
            || source.path.ends_with("/build.rs")
            || ["conformance/src/host.rs", "mocker-runtime/src/log.rs"].contains(&source.path.as_str());
        !speaks && !excused && !source.is_of_a_test()
    };
    none(holding(
        inner,
        &["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!(", "io::stdout()", "io::stderr()"],
    ));
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    let mut breaches = Vec::new();
    for source in sources().into_iter().chain(scripts()).filter(|source| !source.path.ends_with("tidy.rs")) {
        for (n, line) in source.text.lines().enumerate() {
            let marked = ["TODO", "FIXME", "XXX"]
                .iter()
                .any(|word| line.split(|c: char| !c.is_alphanumeric()).any(|held| held == *word));
            let tap = line.contains("# TODO") || line.contains("TODO says") || line.contains("\"TODO\"");
            if marked && !tap && !line.contains("issue ") {
                breaches.push(format!("{}:{}: {}", source.path, n + 1, line.trim()));
            }
        }
    }
    none(breaches);
}

#[test]
fn a_script_is_short_and_stops_at_its_first_error() {
    let mut breaches = Vec::new();
    for script in scripts()
        .iter()
        .filter(|script| script.text.starts_with("#!") && script.text.lines().next().unwrap().contains("sh"))
    {
        let lines = script.text.lines().count();
        if lines > SCRIPT_LIMIT && !excused(LONG_SCRIPTS, &script.path) {
            breaches.push(format!("{}: {lines} lines", script.path));
        }
        let first =
            script.text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
        let bash = script.text.lines().next().unwrap_or_default().contains("bash");
        let wanted = if bash { "set -euo pipefail" } else { "set -eu" };
        if !first.starts_with(wanted) {
            breaches.push(format!("{}: its first command is {first:?}, not `{wanted}`", script.path));
        }
    }
    none(breaches);
}

#[test]
fn an_exception_is_still_needed_and_has_a_reason() {
    for (path, reason) in LONG_FILES.iter().chain(LONG_SCRIPTS) {
        assert!(root().join(path).is_file(), "{path} is excused but not there");
        assert!(reason.len() > 10, "{path}: {reason}");
    }
}

/// Rows of SECURITY.md's tables: their cells.
fn ledger() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, ledger) = text.split_once("## The ledger").unwrap();
    let rows = ledger.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| number"));
    rows.map(|row| row.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_hole_of_the_ledger_is_held_by_tests_that_are_there_or_has_no_place() {
    let sources: String = sources().into_iter().map(|source| source.text).collect();
    let mut breaches = Vec::new();
    for row in ledger() {
        let [number, _, held, tests, _] = &row[..] else { panic!("a row has {} cells: {row:?}", row.len()) };
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() != held.starts_with("no place: ") {
            breaches.push(format!("{number}: neither a test nor a reason, or both"));
        }
        let missing = names.iter().filter(|name| {
            ![format!("fn {name}("), format!("name: \"{name}\"")].iter().any(|made| sources.contains(made))
        });
        breaches.extend(missing.map(|name| format!("{number}: nothing has the name {name}")));
    }
    none(breaches);
}

#[test]
fn no_hole_of_the_ledger_is_lost() {
    let wanted: usize = [
        "runc CVE",
        "crun CVE",
        "youki CVE",
        "youki GHSA",
        "tar CVE",
        "umoci CVE",
        "containerd CVE",
        "moby CVE",
    ]
    .iter()
    .map(|kind| ledger().iter().filter(|row| row[0].contains(kind)).count())
    .sum();
    assert!(wanted >= 45, "only {wanted} rows are left");
}
