//! Mutants that speak wrongly with registries.

use std::net::SocketAddr;

use super::{Change, Mutant};
use crate::registry::{Message, Wire, send};

fn asks_well(_: &mut Message, _: SocketAddr) {}

fn hears_well(_: &mut Message, _: &Message) {}

const fn asks(asks: fn(&mut Message, SocketAddr)) -> Change {
    Change::Wire(Wire { asks, hears: hears_well })
}

const fn hears(hears: fn(&mut Message, &Message)) -> Change {
    Change::Wire(Wire { asks: asks_well, hears })
}

/// The tool takes this answer for a failure that nothing can be done about.
fn break_off(answer: &mut Message) {
    (answer.status, answer.headers) = (404, Vec::new());
    answer.body.clear();
}

fn puts_manifest(request: &Message) -> bool {
    request.method == "PUT" && request.path.contains("/manifests/")
}

fn is_upload(request: &Message) -> bool {
    request.path.contains("/blobs/uploads/")
}

/// A manifest of nothing, before the first blob.
fn manifest_first(request: &mut Message, registry: SocketAddr) {
    if request.method == "POST" && is_upload(request) {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let path = "/v2/pushed/manifests/latest".to_owned();
        let early = Message { method: "PUT".to_owned(), path, headers, body: b"{}".to_vec(), status: 0 };
        send(&early, registry).ok();
    }
}

/// Goes where it is sent, with the password that was for another house.
fn take_password_along(answer: &mut Message, request: &Message) {
    let password = request.header("authorization").map(str::to_owned);
    let to = answer.header("location").and_then(|place| place.strip_prefix("http://localhost:"));
    let (Some(password), Some((port, path))) = (password, to.and_then(|to| to.split_once('/'))) else {
        return;
    };
    let Ok(address) = format!("127.0.0.1:{port}").parse() else { return };
    let mut again = Message { method: "GET".to_owned(), path: format!("/{path}"), ..Message::default() };
    again.set("authorization", &password);
    send(&again, address).ok();
}

/// The same document, written anew, without what is not known.
fn rewrite_manifest(request: &mut Message, _: SocketAddr) {
    if puts_manifest(request)
        && let Ok(serde_json::Value::Object(mut document)) = serde_json::from_slice(&request.body)
    {
        document.remove("x-unknown");
        request.body = serde_json::Value::Object(document).to_string().into_bytes();
    }
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "asks-for-the-newest",
        caught_by: &["pull.asks-for-the-tag"],
        change: asks(|request, _| {
            request.path = request.path.replace("/manifests/latest", "/manifests/newest")
        }),
    },
    Mutant {
        name: "asks-for-the-tag-instead-of-the-digest",
        caught_by: &["pull.asks-for-the-digest"],
        change: asks(|request, _| {
            if let Some((name, _)) = request.path.split_once("/manifests/sha256:") {
                request.path = format!("{name}/manifests/latest");
            }
        }),
    },
    Mutant {
        name: "cuts-tags",
        caught_by: &["pull.tag-of-128-characters"],
        change: asks(|request, _| {
            if let Some((name, tag)) = request.path.clone().split_once("/manifests/")
                && tag.len() == 128
            {
                request.path = format!("{name}/manifests/{}", &tag[..127]);
            }
        }),
    },
    Mutant {
        name: "cuts-names",
        caught_by: &["pull.name-of-several-parts"],
        change: asks(|request, _| request.path = request.path.replace("/v2/a/b.c/", "/v2/")),
    },
    Mutant {
        name: "accepts-without-saying-what",
        caught_by: &["pull.says-what-it-accepts"],
        change: asks(|request, _| request.forget("accept")),
    },
    Mutant {
        name: "wants-a-bare-content-type",
        caught_by: &["pull.parameters-of-the-content-type-do-not-count"],
        change: hears(|answer, _| {
            if answer.header("content-type").is_some_and(|kind| kind.contains(';')) {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "wants-a-digest-header",
        caught_by: &["pull.missing-digest-header-is-no-error"],
        change: hears(|answer, _| {
            if answer.path.contains("/manifests/") && answer.header("docker-content-digest").is_none() {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "follows-no-redirect",
        caught_by: &["pull.redirect-of-a-blob-is-followed", "pull.redirect-of-a-manifest-is-followed"],
        change: hears(|answer, _| {
            if answer.status == 307 {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "never-asks-again",
        caught_by: &["pull.waits-and-asks-again-when-there-are-too-many"],
        change: hears(|answer, _| {
            if answer.status == 429 {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "fears-warnings",
        caught_by: &["pull.warnings-change-nothing"],
        change: hears(|answer, _| {
            if answer.header("warning").is_some() {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "reads-one-page",
        caught_by: &["pull.lists-the-tags-of-every-page"],
        change: hears(|answer, _| answer.forget("link")),
    },
    Mutant {
        name: "answers-no-challenge",
        caught_by: &[
            "lock.basic-challenge-is-answered",
            "lock.bearer-challenge-is-answered-by-anybody",
            "lock.bearer-challenge-is-answered-with-a-login",
            "lock.push-answers-a-challenge",
        ],
        change: hears(|answer, _| answer.forget("www-authenticate")),
    },
    Mutant {
        name: "asks-for-any-token",
        caught_by: &["lock.token-is-asked-for-this-repository"],
        change: asks(|request, _| {
            if request.path.starts_with("/token") {
                "/token?service=conformance".clone_into(&mut request.path);
            }
        }),
    },
    Mutant {
        name: "takes-its-password-along",
        caught_by: &["lock.password-stays-at-home", "lock.token-stays-at-home"],
        change: hears(take_password_along),
    },
    Mutant {
        name: "says-its-password-to-everybody",
        caught_by: &["lock.password-is-not-said-where-nobody-asks"],
        change: asks(|request, _| request.set("authorization", "Basic dXNlcjpwYXNzOndvcmQ=")),
    },
    Mutant {
        name: "pushes-the-manifest-first",
        caught_by: &["push.blobs-come-first", "push.images-come-before-their-index"],
        change: asks(manifest_first),
    },
    Mutant {
        name: "calls-every-manifest-json",
        caught_by: &["push.content-type-is-the-manifests-media-type", "push.content-type-of-dockers-family"],
        change: asks(|request, _| {
            if puts_manifest(request) {
                request.set("content-type", "application/json");
            }
        }),
    },
    Mutant {
        name: "adds-a-parameter-to-the-content-type",
        caught_by: &["push.content-type-has-no-parameters"],
        change: asks(|request, _| {
            if puts_manifest(request) {
                let kind = format!("{}; charset=utf-8", request.header("content-type").unwrap_or_default());
                request.set("content-type", &kind);
            }
        }),
    },
    Mutant {
        name: "ends-uploads-without-a-digest",
        caught_by: &["push.uploads-say-their-digest", "push.everything-arrives"],
        change: asks(|request, _| {
            if request.method == "PUT" && is_upload(request) {
                request.path = request.path.replace("digest=", "d=");
            }
        }),
    },
    Mutant {
        name: "drops-the-query-of-a-location",
        caught_by: &["push.location-with-a-query-is-kept"],
        change: asks(|request, _| request.path = request.path.replace("_state=kept%2Band%3D", "_state=")),
    },
    Mutant {
        name: "knows-no-absolute-location",
        caught_by: &["push.location-may-be-absolute"],
        change: hears(|answer, request| {
            if is_upload(request) && answer.header("location").is_some_and(|place| place.starts_with("http"))
            {
                break_off(answer);
            }
        }),
    },
    Mutant {
        name: "makes-up-locations",
        caught_by: &["push.location-is-followed"],
        change: asks(|request, _| {
            if is_upload(request) && request.method != "POST" {
                request.path = request.path.replace("/uploads/", "/uploads/9");
            }
        }),
    },
    Mutant {
        name: "pushes-manifests-written-anew",
        caught_by: &["push.every-byte-of-the-manifest", "push.unknown-properties-go-along"],
        change: asks(rewrite_manifest),
    },
    Mutant {
        name: "tells-nobody-what-refers-to-an-image",
        caught_by: &["push.what-refers-to-an-image-is-listed-by-tag"],
        change: asks(|request, _| {
            request.path = request.path.replace("/manifests/sha256-", "/manifests/list-")
        }),
    },
    Mutant {
        name: "pushes-lists-unasked",
        caught_by: &["push.what-refers-to-an-image-needs-no-tag-where-it-is-listed"],
        change: hears(|answer, _| answer.forget("oci-subject")),
    },
];
