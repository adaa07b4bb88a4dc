//! One target, named by `FUZZ_TARGET`: under libFuzzer, or (a plain build) once for each file that is named.

#![cfg_attr(feature = "libfuzzer", no_main)]
#![allow(clippy::expect_used, reason = "a fuzzer ends where its set-up fails")]

use mocker_image_fuzz::{TARGETS, Target};

fn target() -> Target {
    let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    *TARGETS.iter().find(|(name, _)| *name == wanted).expect("FUZZ_TARGET is one of the targets")
}

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: std::sync::LazyLock<Target> = std::sync::LazyLock::new(target);
    TARGET.1(bytes);
});

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let (_, run) = target();
    std::env::args_os().skip(1).for_each(|file| run(&std::fs::read(file).expect("a file that can be read")));
}
