//! Who may ask the in-process registry, and its own token endpoint.

use super::http::{Asked, Reply};

/// The lock on the door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// `Authorization: Basic` with this user and password.
    Basic(String, String),
    /// A bearer token from this server's `/token`, for the scope that the request needs.
    /// The endpoint gives one to everybody for pulling.
    Token,
    /// The same, but `/token` wants this user and password (basic).
    TokenFor(String, String),
    /// A bearer token is wanted, but the realm is another URL (which may not answer).
    TokenFrom(String),
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * n)) as usize & 63];
            out.push(if n > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

fn has_basic(asked: &Asked, user: &str, password: &str) -> bool {
    let want = format!("Basic {}", base64(&format!("{user}:{password}")));
    asked.header("authorization") == Some(&want)
}

fn token(scope: &str) -> String {
    format!("token-{}", base64(scope).trim_end_matches('='))
}

/// `repository:NAME:pull` or `...:pull,push`, as a client asks for them.
fn scopes(asked: &Asked) -> [String; 2] {
    let rest = asked.plain_path().trim_start_matches("/v2/");
    let name = ["/manifests/", "/blobs/", "/tags/"]
        .iter()
        .find_map(|part| rest.split_once(part))
        .map_or("", |(name, _)| name);
    [format!("repository:{name}:pull"), format!("repository:{name}:pull,push")]
}

fn challenge(asked: &Asked, realm: Option<&str>) -> Reply {
    let host = asked.header("host").unwrap_or("127.0.0.1");
    let own = format!("http://{host}/token");
    let [pull, push] = scopes(asked);
    let scope = if matches!(asked.method.as_str(), "GET" | "HEAD") { pull } else { push };
    let scope = if asked.plain_path() == "/v2/" { String::new() } else { format!(",scope=\"{scope}\"") };
    Reply::error(401, "UNAUTHORIZED", "authentication required").with(
        "WWW-Authenticate",
        format!("Bearer realm=\"{}\",service=\"conformance\"{scope}", realm.unwrap_or(&own)),
    )
}

/// An answer that ends the matter, or nothing when the request may pass.
pub(super) fn guard(auth: &Auth, asked: &Asked) -> Option<Reply> {
    let allowed = match auth {
        Auth::Open => true,
        Auth::Basic(user, password) => has_basic(asked, user, password),
        Auth::Token | Auth::TokenFor(..) | Auth::TokenFrom(_) => {
            let given = asked.header("authorization").unwrap_or_default();
            let [pull, push] = scopes(asked).map(|scope| format!("Bearer {}", token(&scope)));
            let reading = matches!(asked.method.as_str(), "GET" | "HEAD");
            let any = asked.plain_path() == "/v2/" && given.starts_with("Bearer token-");
            any || given == push || (reading && given == pull)
        }
    };
    match auth {
        _ if allowed => None,
        Auth::Basic(..) => Some(
            Reply::error(401, "UNAUTHORIZED", "authentication required")
                .with("WWW-Authenticate", "Basic realm=\"conformance\""),
        ),
        Auth::TokenFrom(realm) => Some(challenge(asked, Some(realm))),
        _ => Some(challenge(asked, None)),
    }
}

/// The token endpoint: `GET /token?service=...&scope=...`.
pub(super) fn issue(auth: &Auth, asked: &Asked) -> Reply {
    if let Auth::TokenFor(user, password) = auth
        && !has_basic(asked, user, password)
    {
        return Reply::error(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let scope = asked.query("scope").unwrap_or_default();
    let body = serde_json::json!({ "token": token(&scope), "expires_in": 300 });
    Reply::new(200, body.to_string()).with("Content-Type", "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        assert_eq!(["a", "ab", "abc", "user:pass"].map(base64), ["YQ==", "YWI=", "YWJj", "dXNlcjpwYXNz"]);
    }
}
