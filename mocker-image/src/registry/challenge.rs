//! `WWW-Authenticate`: what a registry wants before it answers.

use std::collections::HashMap;

/// A way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from another service.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// What the token is to be for.
        service: Option<String>,
    },
}

impl Challenge {
    /// The best of the ways that the headers offer; bearer before basic.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for header in headers {
            let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
            let mut parameters = parameters(rest);
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => {
                    if let Some(realm) = parameters.remove("realm") {
                        return Some(Self::Bearer { realm, service: parameters.remove("service") });
                    }
                }
                "basic" => basic = Some(Self::Basic),
                _ => {}
            }
        }
        basic
    }
}

/// `key="value", key=value ...`; commas and escaped quotes may stand within quotes.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.insert(key.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    found
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return (value, &text[i + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (headers, want) in [
            (&["Basic realm=\"x\""][..], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:pull,push""#,
                ],
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (&["Basic realm=x", "bearer Realm=https://a/t"], bearer("https://a/t", None)),
            (&[r#"Bearer realm="a\"b""#], bearer("a\"b", None)),
            (&["Negotiate"], None),
            (&["Bearer service=\"x\""], None),
        ] {
            assert_eq!(Challenge::choose(headers.iter().copied()), want, "{headers:?}");
        }
    }
}
