//! Credential helpers: programs `docker-credential-NAME` that keep passwords elsewhere.
//!
//! A word on the command line, a line or a document in, a document out (docker-credential-helpers).
//! One that does not answer is ended.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Secret;
use crate::error::{Context, Error, Kind, Result};

/// Long enough for somebody who is asked for the key of their key ring.
const LIMIT: Duration = Duration::from_secs(60);

/// In place of a user: the secret is an identity token.
const TOKEN: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The program's name.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// What the helper knows about a server, if anything.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Secret>> {
    let program = program(name);
    let step = || format!("ask {program} about {server}");
    let Some(bytes) = run(&program, "get", server, LIMIT).while_doing(step)? else {
        return Ok(None);
    };
    let answer: Answer = crate::image::json(&bytes).while_doing(step)?;
    Ok(Some(match answer.username.as_str() {
        TOKEN => Secret::Identity(answer.secret),
        _ => Secret::Password { user: answer.username, password: answer.secret },
    }))
}

/// Gives the helper a password to keep.
pub(super) fn store(name: &str, server: &str, user: &str, password: &str) -> Result<()> {
    let program = program(name);
    let document = json!({ "ServerURL": server, "Username": user, "Secret": password }).to_string();
    let step = || format!("give {program} the password for {server}");
    run(&program, "store", &document, LIMIT).map(|_| ()).while_doing(step)
}

/// Makes the helper forget a server.
pub(super) fn erase(name: &str, server: &str) -> Result<()> {
    let program = program(name);
    let step = || format!("make {program} forget {server}");
    run(&program, "erase", server, LIMIT).map(|_| ()).while_doing(step)
}

/// One call; `None` if the helper says that it does not know the server.
fn run(program: &str, verb: &str, input: &str, limit: Duration) -> Result<Option<Vec<u8>>> {
    let mut child = Command::new(program).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why on its own.
        drop(stdin.write_all(input.as_bytes()));
    }
    let (tell, told) = mpsc::channel();
    let stdout = child.stdout.take();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(1 << 20).read_to_end(&mut bytes));
        drop(tell.send(read.map(|_| bytes)));
    });
    let Ok(output) = told.recv_timeout(limit) else {
        child.kill()?;
        child.wait()?;
        return Err(Error::new(Kind::Unreachable, format!("no answer within {} s", limit.as_secs_f32())));
    };
    let (output, status) = (output?, child.wait()?);
    if status.success() {
        return Ok(Some(output));
    }
    let words = String::from_utf8_lossy(&output);
    match words.trim() {
        words if words.contains("credentials not found") => Ok(None),
        "" => Err(Error::new(Kind::Denied, format!("it ended with {status}"))),
        words => Err(Error::new(Kind::Denied, words.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_helper_that_does_not_answer_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("helper");
        std::fs::write(&helper, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
        let e = run(helper.to_str().unwrap(), "get", "q.io", Duration::from_millis(200)).unwrap_err();
        assert_eq!(e.to_string(), "no answer within 0.2 s");
    }
}
