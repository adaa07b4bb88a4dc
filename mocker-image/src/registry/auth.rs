//! Answers a challenge: with a token from the token service, or with user and password.

use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::client::Client;
use super::is_loopback;
use crate::error::{Context, Error, Kind, Result};

/// What a token service gives; older ones and newer ones name it differently.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// The `Authorization` header that satisfies a challenge.
    pub(super) async fn answer(&self, challenge: &Challenge) -> Result<HeaderValue> {
        match challenge {
            Challenge::Basic => self.basic(),
            Challenge::Bearer { realm, service } => self
                .token(realm, service.as_deref())
                .await
                .while_doing(|| format!("get a token from {realm}")),
        }
    }

    fn basic(&self) -> Result<HeaderValue> {
        let (user, password) = self.credentials().ok_or_else(|| self.denied())?;
        let base = self.base()?;
        self.may_carry_credentials(&base)?;
        let request = self.http().get(base).basic_auth(user, Some(password)).build();
        let header = request.ok().and_then(|mut r| r.headers_mut().remove(reqwest::header::AUTHORIZATION));
        header.ok_or_else(|| Error::invalid("user or password has a character that no header may have"))
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<HeaderValue> {
        let mut url = Url::parse(realm).map_err(|_| Error::invalid("that is no URL"))?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", &format!("repository:{}:pull", self.path()));
            if let Some(service) = service {
                query.append_pair("service", service);
            }
        }
        if url.scheme() != "https" && !self.may_be_plain(&url) {
            return Err(Error::invalid("that is not https"));
        }
        let mut request = self.http().get(url.clone());
        if let Some((user, password)) = self.credentials() {
            self.may_carry_credentials(&url)?;
            request = request.basic_auth(user, Some(password));
        }
        let mut response = self.sent(request).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.denied()),
            status if !status.is_success() => {
                return Err(Error::new(Kind::Unreachable, format!("it answers {status}")));
            }
            _ => {}
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() > 1 << 20 {
                return Err(Error::invalid("its answer is larger than any token"));
            }
        }
        let answer: Token = crate::image::json(&bytes)?;
        let token = answer.token.or(answer.access_token).ok_or_else(|| Error::invalid("it gives none"))?;
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        header.map_err(|_| Error::invalid("its token has a character that no header may have"))
    }

    /// User and password never go without TLS, but to this machine.
    fn may_carry_credentials(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        match url.scheme() == "https" || is_loopback(host) {
            true => Ok(()),
            false => {
                Err(Error::new(Kind::Denied, format!("user and password would go to {host} without TLS")))
            }
        }
    }
}
