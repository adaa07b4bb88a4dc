//! The suite: every case, topic by topic.

mod capabilities;
mod cgroups;
mod create;
mod devices;
mod hook_failures;
mod hooks;
mod idmap;
mod joined;
mod labels;
mod mounts;
mod namespaces;
mod operations;
mod paths;
mod process;
mod scheduling;
mod seccomp;
mod state;

use crate::case::Case;
use crate::host::Need;

/// What every case needs until there are rootless twins.
const ROOT: &[Need] = &[Need::Root];

/// All cases, in the order of the specification.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let topics = [
        state::CASES,
        create::CASES,
        operations::CASES,
        process::CASES,
        scheduling::CASES,
        capabilities::CASES,
        seccomp::CASES,
        labels::CASES,
        namespaces::CASES,
        joined::CASES,
        paths::CASES,
        mounts::CASES,
        idmap::CASES,
        devices::CASES,
        cgroups::CASES,
        hooks::CASES,
        hook_failures::CASES,
    ];
    topics.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_case_has_a_name_of_its_own_and_the_sentence_of_a_section() {
        let mut names = HashSet::new();
        for case in super::all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(case.name.contains('.') && !case.name.contains(' '), "{}", case.name);
            assert!(case.at.contains(".md#"), "{}: {}", case.name, case.at);
            assert!(case.must.len() > 30, "{}: {}", case.name, case.must);
        }
        assert!(names.len() >= 60, "{} cases", names.len());
    }
}
