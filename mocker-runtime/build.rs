//! Tells the linker where the program begins (`src/sys/entry.rs`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch == "x86_64" {
        println!("cargo::rustc-link-arg-bin=mocker-runtime=-Wl,-e,mocker_start");
    }
}
