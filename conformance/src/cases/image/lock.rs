//! Registries that ask who is there.

use anyhow::{Context, Result, ensure};

use super::{case, small};
use crate::case::{Case, expect_eq};
use crate::image::{Ask, Desk};
use crate::registry::{Auth, Fault, Registry};

const API: &str = "distribution-spec/spec.md#api";
const HTTP: &str = "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.";
const BOUNDARY: &str = "clients SHOULD follow such redirects, and MUST NOT forward Authorization headers across host boundaries unless explicitly configured to do so.";

fn somebody() -> (String, String) {
    ("user".to_owned(), "pass:word".to_owned())
}

fn login() -> Ask {
    Ask { login: Some("user:pass:word".to_owned()), ..Ask::default() }
}

fn unlock(desk: &Desk, auth: Auth, ask: &Ask) -> Result<()> {
    let source = desk.serve(&small().build()?);
    desk.registry().require(auth);
    desk.unpack_from(&source, ask)?.text("a").map(drop)
}

fn locked_out(desk: &Desk, auth: Auth, ask: &Ask, what: &str) -> Result<()> {
    let source = desk.serve(&small().build()?);
    desk.registry().require(auth);
    let (outcome, bundle) = desk.try_unpack(&source, ask)?;
    outcome.failure(&format!("unpack with {what}"))?;
    ensure!(bundle.config().is_err(), "there is a bundle");
    Ok(())
}

pub(super) const CASES: &[Case<Desk>] = &[
    case("lock.basic-challenge-is-answered", API, HTTP, |desk| {
        let (user, password) = somebody();
        unlock(desk, Auth::Basic(user, password), &login())
    }),
    case("lock.bearer-challenge-is-answered-by-anybody", API, HTTP, |desk| {
        unlock(desk, Auth::Token, &Ask::default())
    }),
    case("lock.bearer-challenge-is-answered-with-a-login", API, HTTP, |desk| {
        let (user, password) = somebody();
        unlock(desk, Auth::TokenFor(user, password), &login())
    }),
    case("lock.token-is-asked-for-this-repository", API, HTTP, |desk| {
        unlock(desk, Auth::Token, &Ask::default())?;
        let asked = desk.registry().requests().into_iter().find(|request| request.path.starts_with("/token"));
        let path = asked.context("nobody asked for a token")?.path.replace("%3A", ":").replace("%2C", ",");
        ensure!(path.contains("scope=repository:case:pull"), "{path}");
        ensure!(path.contains("service=conformance"), "{path}");
        Ok(())
    }),
    case("lock.wrong-password-is-an-error", API, HTTP, |desk| {
        let (user, _) = somebody();
        locked_out(desk, Auth::Basic(user, "another".to_owned()), &login(), "a wrong password")
    }),
    case("lock.no-password-is-an-error", API, HTTP, |desk| {
        let (user, password) = somebody();
        locked_out(desk, Auth::Basic(user, password), &Ask::default(), "no password")
    }),
    case("lock.no-token-is-an-error", API, HTTP, |desk| {
        let (user, _) = somebody();
        locked_out(
            desk,
            Auth::TokenFor(user, "another".to_owned()),
            &login(),
            "a password that gives no token",
        )
    }),
    case("lock.password-stays-at-home", API, BOUNDARY, |desk| {
        let image = small().build()?;
        let other = Registry::start()?;
        other.put("case", "latest", &image);
        let port = other.address().replace("127.0.0.1:", "");
        let (user, password) = somebody();
        desk.registry().fault("/blobs/", Fault::Redirect(format!("http://localhost:{port}{{path}}")));
        desk.registry().require(Auth::Basic(user, password));
        // whether the redirect leads anywhere is another case's
        drop(desk.try_unpack(&desk.serve(&image), &login())?);
        let sent =
            other.requests().iter().filter(|request| request.header("authorization").is_some()).count();
        expect_eq("the number of requests with a password", sent, 0)?;
        ensure!(!other.requests().is_empty(), "nobody asked the other registry");
        Ok(())
    }),
    case("lock.token-stays-at-home", API, BOUNDARY, |desk| {
        let image = small().build()?;
        let other = Registry::start()?;
        other.put("case", "latest", &image);
        let port = other.address().replace("127.0.0.1:", "");
        desk.registry().fault("/blobs/", Fault::Redirect(format!("http://localhost:{port}{{path}}")));
        desk.registry().require(Auth::Token);
        drop(desk.try_unpack(&desk.serve(&image), &Ask::default())?);
        let sent =
            other.requests().iter().filter(|request| request.header("authorization").is_some()).count();
        expect_eq("the number of requests with a token", sent, 0)?;
        ensure!(!other.requests().is_empty(), "nobody asked the other registry");
        Ok(())
    }),
    case("lock.password-is-not-said-where-nobody-asks", API, HTTP, |desk| {
        unlock(desk, Auth::Open, &login())?;
        let sent = desk
            .registry()
            .requests()
            .iter()
            .filter(|request| request.header("authorization").is_some())
            .count();
        expect_eq("the number of requests with a password", sent, 0)
    }),
    case("lock.push-answers-a-challenge", API, HTTP, |desk| {
        let (user, password) = somebody();
        let (_, source) = desk.lay_out(&small().build()?)?;
        desk.registry().require(Auth::TokenFor(user, password));
        desk.try_copy(&source, &desk.place("pushed", "latest"), &login())?.success()?;
        ensure!(desk.registry().manifest("pushed", "latest").is_some(), "nothing was pushed");
        Ok(())
    }),
    case("lock.push-with-a-wrong-password-is-an-error", API, HTTP, |desk| {
        let (user, _) = somebody();
        let (_, source) = desk.lay_out(&small().build()?)?;
        desk.registry().require(Auth::Basic(user, "another".to_owned()));
        let outcome = desk.try_copy(&source, &desk.place("pushed", "latest"), &login())?;
        outcome.failure("push with a wrong password").map(drop)
    }),
];
