//! Tells the linker where the program begins (`src/sys/entry.rs`), and what it can leave out.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=layout.ld");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch == "x86_64" {
        println!("cargo::rustc-link-arg-bin=mocker-runtime=-Wl,-e,mocker_start");
    }
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // A table for unwinding, which a program that ends at a panic never reads.
        println!("cargo::rustc-link-arg-bin=mocker-runtime=-Wl,--no-eh-frame-hdr");
        if arch == "x86_64" {
            // What the usual commands run lies side by side (`scripts/layout`).
            let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
            println!("cargo::rustc-link-arg-bin=mocker-runtime=-Wl,-T,{dir}/layout.ld");
        }
    }
}
