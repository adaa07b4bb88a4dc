//! Signatures in cosign's format: made, demanded, carried; skopeo reads ours and we read skopeo's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::sample::{serving, small};
use common::{Outcome, Place};
use conformance::fixture::{Image, Index, Layer, Platform};
use conformance::host::{Need, count_skip, skip};
use conformance::registry::Registry;
use serde_json::{Value, json};

/// Two pairs of keys, made by openssl: opening one under a passphrase takes time on purpose.
const KEYS: [(&str, &str, &str); 2] = [
    (
        "own",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIF8i1iQoyCSn17EgNIM4tM07hVbhvU02WbfDhpsQozj7oAoGCCqGSM49\nAwEHoUQDQgAE4vX2/yQ9XvKKRjY62L1QdwD5f1Ifebns6H2M5QVVtO4bGwzh4VFl\n1WYgKWoyLlEpUIpEklM4pXMLn/pjg7B6ew==\n-----END EC PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4vX2/yQ9XvKKRjY62L1QdwD5f1If\nebns6H2M5QVVtO4bGwzh4VFl1WYgKWoyLlEpUIpEklM4pXMLn/pjg7B6ew==\n-----END PUBLIC KEY-----\n",
    ),
    (
        "other",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGpmIDV/1fMWvLtiV/tzblkdzlf+Onqb8w1tDvkyIiovoAoGCCqGSM49\nAwEHoUQDQgAEDH+ivkduMQJgSwkO93jhFiQw5HFS8SlJHI1RUiI+VIE0khNPwSgX\nK3pMCAeZyUx9RiSW2TQk7TMXADyKrJoD+A==\n-----END EC PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDH+ivkduMQJgSwkO93jhFiQw5HFS\n8SlJHI1RUiI+VIE0khNPwSgXK3pMCAeZyUx9RiSW2TQk7TMXADyKrJoD+A==\n-----END PUBLIC KEY-----\n",
    ),
];

/// A place with two pairs of keys, `own` and `other`.
fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path("pass"), "open sesame\n").unwrap();
    for (name, private, public) in KEYS {
        std::fs::write(place.path(&format!("{name}.private")), private).unwrap();
        std::fs::write(place.path(&format!("{name}.pub")), public).unwrap();
    }
    place
}

/// The same with keys of our own making, under a passphrase.
fn place_of_our_own() -> Place {
    let place = Place::new();
    std::fs::write(place.path("pass"), "open sesame\n").unwrap();
    for key in ["own", "other"] {
        let words = ["generate-key", &at(&place, key), "--passphrase-file", &at(&place, "pass")];
        place.run(&words).ok();
    }
    place
}

fn at(place: &Place, name: &str) -> String {
    place.path(name).display().to_string()
}

fn sign(place: &Place, image: &str, more: &[&str]) -> Outcome {
    let (key, pass) = (at(place, "own.private"), at(place, "pass"));
    place.run(&[&["sign", image, "--key", &key, "--passphrase-file", &pass], more].concat())
}

fn pull(place: &Place, key: &str, image: &str) -> Outcome {
    place.run(&["pull", "--require-signature", &at(place, key), image])
}

#[test]
fn an_image_is_taken_only_if_the_key_has_signed_it() {
    let (registry, place) = (serving(&small().build().unwrap()), place());
    let image = registry.reference("app", "v1");
    let error = pull(&place, "own.pub", &image).error();
    assert!(error.ends_with("own.pub demands: it has no signature"), "{error}");
    place.assert_nothing_left_but(&["own.private", "own.pub", "other.private", "other.pub", "pass"]);
    let digest = sign(&place, &image, &["-a", "stage=test"]).ok();
    assert_eq!(digest, place.run(&["digest", &image]).ok());
    let error = pull(&place, "other.pub", &image).error();
    assert!(error.ends_with("other.pub demands: a signature there is by another key"), "{error}");
    pull(&place, "own.pub", &image).ok();
    let both = [at(&place, "own.pub"), at(&place, "other.pub")];
    let words = ["pull", "--require-signature", &both[0], "--require-signature", &both[1], &image];
    assert!(place.run(&words).error().contains("other.pub demands"));
    assert!(place.run(&["verify", "--key", &both[0], &image]).ok().starts_with("signed by "));
    assert!(place.run(&["verify", "--key", &both[1], &image]).error().contains("by another key"));
    // What is in the store already is asked about again.
    let bundle = at(&place, "bundle");
    let words = ["unpack", "--copy", "--require-signature", &both[1], &image, &bundle];
    assert!(place.run(&words).error().contains("other.pub demands"));
    let words = ["unpack", "--copy", "--require-signature", &both[0], &image, &bundle];
    place.run(&words).ok();
    // The signature of one image is none for another.
    let other = Image::new().layer(&Layer::new().file("evil", "e")).build().unwrap();
    registry.put("app", "v1", &other);
    assert!(pull(&place, "own.pub", &image).error().ends_with("it has no signature"));
    let (hex, theirs) = (&digest.trim()[7..], &other.digest.as_str()[7..]);
    let moved = registry.manifest("app", &format!("sha256-{hex}.sig")).unwrap();
    let moved = conformance::fixture::Artifact::raw(&moved.0, moved.1);
    registry.put("app", &format!("sha256-{theirs}.sig"), &moved);
    let error = pull(&place, "own.pub", &image).error();
    assert!(error.contains(&format!("a signature there is for {}", digest.trim())), "{error}");
}

#[test]
fn of_an_index_the_whole_or_each_image_is_signed() {
    let of = |text: &str| Image::new().layer(&Layer::new().file("f", text));
    let index = |one: &str| {
        let other = of("s").platform(Platform::linux("s390x")).build().unwrap();
        let own = of(one).build().unwrap();
        Index::new().member(Platform::host(), own).member(Platform::linux("s390x"), other).build()
    };
    let (registry, place) = (Registry::start().unwrap(), place());
    registry.put("whole", "v1", &index("whole"));
    registry.put("each", "v1", &index("each"));
    let key = at(&place, "own.pub");
    let whole = registry.reference("whole", "v1");
    assert_eq!(sign(&place, &whole, &[]).ok().lines().count(), 1);
    pull(&place, "own.pub", &whole).ok();
    let each = registry.reference("each", "v1");
    assert!(pull(&place, "own.pub", &each).error().ends_with("it has no signature"));
    sign(&place, &each, &["--platform", "linux/s390x"]).ok();
    assert!(pull(&place, "own.pub", &each).error().ends_with("it has no signature"));
    place.run(&["pull", "--platform", "linux/s390x", "--require-signature", &key, &each]).ok();
    let to = format!("oci:{}:v1", at(&place, "layout"));
    let words = ["copy", "--all", "--require-signature", &key, &each, &to];
    assert!(place.run(&words).error().ends_with("it has no signature"));
    assert_eq!(sign(&place, &each, &["--recursive"]).ok().lines().count(), 3);
    place.run(&words).ok();
}

#[test]
fn a_policy_says_which_key_and_for_which_name() {
    let (registry, place) = (serving(&small().build().unwrap()), place());
    let image = registry.reference("app", "v1");
    let name = format!("{}/app", registry.address());
    let data = base64(&std::fs::read(place.path("own.pub")).unwrap());
    let pull = |requirement: Value| {
        let scopes = json!({ registry.address(): [requirement] });
        let policy = json!({ "default": [{ "type": "reject" }], "transports": { "docker": scopes } });
        std::fs::write(place.path("policy.json"), policy.to_string()).unwrap();
        place.run(&["pull", "--policy", &at(&place, "policy.json"), &image])
    };
    let by = |key: &str| json!({ "type": "sigstoreSigned", "keyPath": at(&place, key) });
    let with = |identity: Value| {
        let mut requirement = by("own.pub");
        requirement["signedIdentity"] = identity;
        requirement
    };
    assert!(pull(by("own.pub")).error().ends_with("demands: it has no signature"));
    sign(&place, &image, &[]).ok();
    pull(by("own.pub")).ok();
    pull(json!({ "type": "sigstoreSigned", "keyDatas": [data] })).ok();
    pull(with(json!({ "type": "matchExact" }))).ok();
    pull(with(json!({ "type": "exactRepository", "dockerRepository": name }))).ok();
    assert!(pull(by("other.pub")).error().ends_with("a signature there is by another key"));
    let error = pull(with(json!({ "type": "exactReference", "dockerReference": "q.io/a:b" }))).error();
    assert!(error.ends_with(&format!("a signature there is for the name {image:?}")), "{error}");
    for (requirement, words) in [
        (json!({ "type": "sigstoreSigned" }), "has a sigstoreSigned without a key"),
        (json!({ "type": "sigstoreSigned", "fulcio": {} }), "wants sigstoreSigned by fulcio, which"),
        (json!({ "type": "signedBy" }), "wants signedBy, which cannot be proved here"),
        (with(json!({ "type": "matchAnything" })), "has a sigstoreSigned that is none"),
        (by("missing"), "missing: No such file or directory"),
    ] {
        let error = pull(requirement).error();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn signatures_go_along_where_registries_d_says_so() {
    let (registry, place) = (serving(&small().build().unwrap()), place());
    let image = registry.reference("app", "v1");
    let digest = sign(&place, &image, &[]).ok();
    let tag = format!("sha256-{}.sig", &digest.trim()[7..]);
    let copy = |words: &[&str], to: &str| -> Outcome {
        let mut command = place.command(&[&["copy", &image, to], words].concat());
        command.env("XDG_CONFIG_HOME", place.path("config")).output().unwrap().into()
    };
    let to = |name: &str| registry.reference(name, "v1");
    copy(&[], &to("without")).ok();
    assert!(registry.manifest("without", &tag).is_none());
    let folder = place.path("config/containers/registries.d");
    std::fs::create_dir_all(&folder).unwrap();
    let yaml = format!("docker:\n  {}:\n    use-sigstore-attachments: true\n", registry.address());
    std::fs::write(folder.join("a.yaml"), yaml).unwrap();
    copy(&[], &to("with")).ok();
    assert!(registry.manifest("with", &tag).is_some());
    pull(&place, "own.pub", &to("with")).ok();
    copy(&["--remove-signatures"], &to("removed")).ok();
    assert!(registry.manifest("removed", &tag).is_none());
    let error = copy(&["--dest-decompress"], &to("changed")).error();
    assert!(error.ends_with("and it is signed as it is"), "{error}");
    let error = copy(&[], &format!("oci:{}:v1", at(&place, "layout"))).error();
    assert!(error.ends_with("keeps no signatures"), "{error}");
    // A folder keeps them in files, and gives them back.
    let dir = format!("dir:{}", at(&place, "folder"));
    copy(&[], &dir).ok();
    assert!(place.path("folder/signature-1").metadata().is_ok());
    place.run(&["verify", "--key", &at(&place, "own.pub"), &dir]).ok();
    place.run(&["copy", &dir, &to("back")]).ok();
    pull(&place, "own.pub", &to("back")).ok();
}

#[test]
fn a_key_that_is_none_or_stays_closed_is_told() {
    let (registry, place) = (serving(&small().build().unwrap()), place_of_our_own());
    let image = registry.reference("app", "v1");
    std::fs::write(place.path("wrong"), "sesame").unwrap();
    let (key, wrong) = (at(&place, "own.private"), at(&place, "wrong"));
    for (key, pass, words) in [
        (key.as_str(), wrong.as_str(), "own.private: the passphrase is wrong"),
        (&wrong, &wrong, "wrong: is not PEM"),
        (&at(&place, "own.pub"), &wrong, "is PEM of the kind \"PUBLIC KEY\", which is not known here"),
    ] {
        let error = place.run(&["sign", &image, "--key", key, "--passphrase-file", pass]).error();
        assert!(error.ends_with(words), "{error}");
    }
    let error = pull(&place, "own.private", &image).error();
    assert!(
        error.contains("is PEM of the kind \"ENCRYPTED COSIGN PRIVATE KEY\", not \"PUBLIC KEY\""),
        "{error}"
    );
    let error = place.run(&["generate-key", &at(&place, "own")]).error();
    assert!(error.ends_with("own.private is there already"), "{error}");
    let error = sign(&place, &format!("oci:{}:v1", at(&place, "layout")), &[]).error();
    assert!(error.ends_with("keeps no signatures"), "{error}");
    assert_eq!(place.path("own.private").metadata().map(|meta| mode(&meta)).unwrap(), 0o600);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn mode(meta: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
}

fn skopeo(place: &Place, words: &[&str]) -> std::process::Output {
    let mut command = Command::new("skopeo");
    command.arg("--registries.d").arg(place.path("registries.d")).args(words);
    command.current_dir(place.path("")).output().unwrap()
}

fn good(output: &std::process::Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn skopeo_takes_what_is_signed_here_and_the_other_way_round() {
    if skip("skopeo_takes_what_is_signed_here_and_the_other_way_round", Need::Program("skopeo")) {
        return;
    }
    let (registry, place) = (serving(&small().build().unwrap()), place_of_our_own());
    let attachments = "default-docker:\n  use-sigstore-attachments: true\n";
    std::fs::create_dir(place.path("registries.d")).unwrap();
    std::fs::write(place.path("registries.d/a.yaml"), attachments).unwrap();
    let policy = json!({ "default": [{ "type": "sigstoreSigned", "keyPath": at(&place, "own.pub") }] });
    std::fs::write(place.path("policy.json"), policy.to_string()).unwrap();
    let image = registry.reference("app", "v1");
    let theirs = |to: &str| {
        let from = format!("docker://{image}");
        let words = ["--policy", "policy.json", "copy", "--src-tls-verify=false", &from, to];
        skopeo(&place, &words)
    };
    let refused = theirs("dir:refused");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("A signature was required"), "{words}");
    sign(&place, &image, &[]).ok();
    let taken = theirs("dir:taken");
    if String::from_utf8_lossy(&taken.stderr).contains("sigstore disabled") {
        // Debian 12's: the vectors of `signature/key.rs` stand in, which another one made.
        return count_skip("skopeo_takes_what_is_signed_here_and_the_other_way_round", "skopeo:sigstore");
    }
    good(&taken);
    // What skopeo put into a folder bears the same signature.
    place.run(&["verify", "--key", &at(&place, "own.pub"), &format!("dir:{}", at(&place, "taken"))]).ok();
    assert!(Path::new(&at(&place, "taken/signature-1")).metadata().is_ok());
    // skopeo signs with the key that was made here.
    let to = format!("docker://{}", registry.reference("theirs", "v1"));
    let from = format!("docker://{image}");
    good(&skopeo(
        &place,
        &[
            "--insecure-policy",
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--remove-signatures",
            "--sign-by-sigstore-private-key",
            "other.private",
            "--sign-passphrase-file",
            "pass",
            &from,
            &to,
        ],
    ));
    pull(&place, "other.pub", &registry.reference("theirs", "v1")).ok();
    assert!(pull(&place, "own.pub", &registry.reference("theirs", "v1")).error().contains("by another key"));
    // Signed while it is copied, by us.
    let ours = registry.reference("ours", "v1");
    let (key, pass) = (at(&place, "own.private"), at(&place, "pass"));
    let signing = ["--sign-by-sigstore-private-key", &key, "--sign-passphrase-file", &pass];
    place.run(&[&["copy", &image, &ours][..], &signing].concat()).ok();
    let from = format!("docker://{ours}");
    let words = ["--policy", "policy.json", "copy", "--src-tls-verify=false", &from, "dir:ours"];
    good(&skopeo(&place, &words));
}
