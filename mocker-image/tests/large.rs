//! Much of everything: layers, bytes, files, and kill -9. With MOCKER_NIGHTLY set, far more of it, and five minutes of
//! the latter.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::sample::{noise, serving};
use common::{PROGRAM, Place, files, image};
use conformance::blob::{Blob, Hasher};
use conformance::fixture::{Compression, Image, Layer, Packed};
use conformance::host::{Need, leave_mount_namespace, skip, wait_until};
use conformance::registry::DockerRegistry;

#[test]
fn a_hundred_and_twenty_seven_layers_become_one_tree() {
    let test = "a_hundred_and_twenty_seven_layers_become_one_tree";
    if skip(test, Need::Root) || skip(test, Need::Overlay) {
        return;
    }
    leave_mount_namespace().unwrap();
    let image = image::many_layers(127).build().unwrap();
    let (registry, place) = (serving(&image), Place::new());
    let reference = registry.reference("app", "v1");
    for word in ["--copy", "--overlay=mounted"] {
        let dir = place.path(word);
        let outcome = place.run(&["unpack", word, &reference, dir.to_str().unwrap()]);
        if word != "--copy" && outcome.code == Some(1) {
            // An older kernel has no room for the names of so many.
            assert!(outcome.error().ends_with("layers: the kernel takes so many since 6.7"));
            return;
        }
        outcome.ok();
        let text = |n: usize| std::fs::read_to_string(dir.join(format!("rootfs/f{n}"))).unwrap();
        assert!((0..127).all(|n| text(n) == n.to_string()), "{word}");
        assert_eq!(place.run(&["diff", dir.to_str().unwrap()]).ok(), "", "{word}");
    }
    place.run(&["remove", place.path("--overlay=mounted").to_str().unwrap()]).ok();
}

/// The most memory that a call had in use, in kB, as the kernel counts it from its execve on.
fn peak(place: &Place, words: &[&str]) -> u64 {
    let mut child = place.command(words).stdout(Stdio::null()).spawn().unwrap();
    let (folder, mut most) = (PathBuf::from(format!("/proc/{}", child.id())), 0);
    wait_until(Duration::from_secs(1800), "its end", || {
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        // Before its execve it is this process, with all that this one holds.
        if std::fs::read_link(folder.join("exe")).is_ok_and(|exe| exe == Path::new(PROGRAM)) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
            most = most.max(number.unwrap_or(0));
        }
        child.try_wait().unwrap().is_some()
    })
    .unwrap();
    assert!(child.wait().unwrap().success(), "{words:?}");
    // What is removed in a moment may be gone between two looks.
    assert!(most > 1000 || words[0] == "remove", "{words:?} was not seen at work");
    most
}

/// Whether this machine and this round have room for images of gigabytes.
fn has_room() -> bool {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kb = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let disk = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
    std::env::var_os("MOCKER_NIGHTLY").is_some()
        && kb.unwrap().parse::<u64>().unwrap() > 14_000_000
        && disk.f_bavail * disk.f_frsize > 10_000_000_000
}

#[test]
fn memory_stays_small_whatever_the_size() {
    let (bytes, count) = if has_room() { (2_200_000_000, 100_000) } else { (100_000_000, 3_000) };
    let many = || {
        (0..count).fold(Layer::new(), |layer, n| layer.file(format!("d{}/f{n}", n / 200), format!("{n}\n")))
    };
    let layers: [&dyn Fn() -> Layer; 2] = [&|| Layer::new().file("large", vec![0; bytes]), &many];
    for layer in layers {
        let (registry, place) = (serving(&Image::new().layer(&layer()).build().unwrap()), Place::new());
        let (reference, bundle) = (registry.reference("app", "v1"), place.bundle().display().to_string());
        let layout = format!("oci:{}:v1", place.path("layout").display());
        for words in [
            &["unpack", "--copy", &reference, &bundle][..],
            &["diff", &bundle],
            &["copy", &reference, &layout],
        ] {
            // Nothing but zeros looks like a bomb.
            let kb = peak(&place, &[&["--max-unpacked", "3000000000"], words].concat());
            assert!(kb < 64_000, "{words:?}: {kb} kB");
        }
    }
}

/// A layer of one file of zeros, not packed, that takes no room on the disk until somebody reads it.
fn hollow(dir: &Path, n: usize, bytes: u64) -> Packed {
    let path = dir.join(format!("layer{n}"));
    let mut file = File::create(&path).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path(format!("large{n}")).unwrap();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_cksum();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(512 + bytes.next_multiple_of(512) + 1024).unwrap();
    let mut hasher = Hasher::new(std::io::sink());
    std::io::copy(&mut File::open(&path).unwrap(), &mut hasher).unwrap();
    let (_, digest, size) = hasher.finish();
    let (diff_id, compression) = (digest.clone(), Compression::Plain);
    Packed { blob: Blob::File(path), digest, size, diff_id, compression }
}

/// Three gigabytes on the way where there is room for them.
#[test]
fn an_image_of_gigabytes_goes_there_and_back_in_little_memory() {
    let test = "an_image_of_gigabytes_goes_there_and_back_in_little_memory";
    if skip(test, Need::Program("docker-registry")) {
        return;
    }
    let (place, bytes) = (Place::new(), if has_room() { 512_000_000 } else { 4_000_000 });
    let layers = (0..6).map(|n| hollow(&place.path("."), n, bytes + n as u64));
    let image = layers.fold(Image::new(), Image::packed);
    let (from, to) = (serving(&image.build().unwrap()), DockerRegistry::start().unwrap());
    let (reference, bundle) = (from.reference("app", "v1"), place.bundle().display().to_string());
    for words in [
        &["pull", &reference][..],
        &["verify"],
        &["unpack", "--copy", &reference, &bundle],
        &["remove", &bundle],
        &["push", &reference, &to.reference("app", "v1")],
    ] {
        let kb = peak(&place, words);
        assert!(kb < 64_000, "{words:?}: {kb} kB");
        eprintln!("{kb} kB: {words:?}");
        if words[0] == "unpack" {
            let large = place.rootfs().join("large5").metadata().unwrap();
            assert_eq!(large.len(), bytes + 5);
        }
    }
}

/// Numbers that nobody foresees.
fn dice() -> impl FnMut(u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut state = now.as_nanos() as u64 | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    }
}

#[test]
fn programs_that_are_killed_again_and_again_leave_a_store_that_is_right_and_can_be_emptied() {
    let image = (0..4_u8).fold(Image::new(), |image, n| {
        let many = (0..40).fold(Layer::new(), |layer, file| layer.file(format!("d{n}/f{file}"), [n; 30]));
        image.layer(&many.file(format!("noise{n}"), [noise(1_500_000), vec![n]].concat()))
    });
    let (registry, place) = (serving(&image.build().unwrap()), Place::new());
    let (reference, bundle) = (registry.reference("app", "v1"), place.bundle().display().to_string());
    let time = if std::env::var_os("MOCKER_NIGHTLY").is_some() { 300 } else { 3 };
    let (end, mut dice, mut killed) = (Instant::now() + Duration::from_secs(time), dice(), 0);
    while Instant::now() < end || killed == 0 {
        let words: &[&str] = match dice(4) {
            0 | 1 => &["pull", &reference],
            2 => &["unpack", &reference, &bundle],
            _ => &["gc"],
        };
        if dice(2) == 0 {
            drop(std::fs::remove_dir_all(place.bundle()));
        }
        let start = |_| -> Child {
            place.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut running: Vec<Child> = (0..1 + dice(2)).map(start).collect();
        for child in &mut running {
            let ended = || child.try_wait().unwrap().is_some();
            if wait_until(Duration::from_millis(dice(400)), "its end", ended).is_err() {
                child.kill().unwrap();
                killed += 1;
            }
            child.wait().unwrap();
        }
        let whole = place.bundle().join("config.json").symlink_metadata().is_ok();
        assert!(!whole || place.rootfs().symlink_metadata().is_ok(), "a bundle without its root");
    }
    place.run(&["verify"]).ok();
    drop(std::fs::remove_dir_all(place.bundle()));
    place.unpack(&reference).ok();
    assert_eq!(files(&place.rootfs()).len(), 4 * 41);
    place.run(&["verify"]).ok();
    std::fs::remove_dir_all(place.bundle()).unwrap();
    place.run(&["remove", &reference]).ok();
    place.run(&["gc", "--forget-missing"]).ok();
    place.assert_nothing_left();
}
