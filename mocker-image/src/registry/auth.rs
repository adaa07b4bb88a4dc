//! Answers a challenge: with a token from the token service, or with user and password.

use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::client::Client;
use super::credentials::{Credentials, Secret};
use super::is_loopback;
use crate::error::{Context, Error, Kind, Result};

/// Who we say we are to a token service.
const CLIENT: &str = "mocker-image";

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
        let Some(Credentials { secret: Secret::Password { user, password }, .. }) = self.credentials()?
        else {
            return Err(self.denied(StatusCode::UNAUTHORIZED)?);
        };
        let base = self.base()?;
        self.may_carry_credentials(&base)?;
        let request = self.http().get(base).basic_auth(user, Some(password)).build();
        let header = request.ok().and_then(|mut r| r.headers_mut().remove(reqwest::header::AUTHORIZATION));
        header.ok_or_else(|| Error::invalid("user or password has a character that no header may have"))
    }

    /// The request for a token: by password or as anybody with GET, by identity token with POST.
    fn token_request(&self, realm: &str, service: Option<&str>) -> Result<RequestBuilder> {
        let mut url = Url::parse(realm).map_err(|_| Error::invalid("that is no URL"))?;
        if url.scheme() != "https" && !self.may_be_plain(&url) {
            return Err(Error::invalid("that is not https"));
        }
        let scopes = self.scopes();
        let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
        let wanted = scopes.chain(service.map(|service| ("service", service)));
        let secret = self.credentials()?.map(|credentials| &credentials.secret);
        if secret.is_some() {
            self.may_carry_credentials(&url)?;
        }
        if let Some(Secret::Identity(token)) = secret {
            let grant = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", CLIENT)];
            let mut form = url.clone();
            form.query_pairs_mut().clear().extend_pairs(wanted.chain(grant));
            let body = form.query().unwrap_or_default().to_owned();
            let kind = "application/x-www-form-urlencoded";
            return Ok(self.http().post(url).header(reqwest::header::CONTENT_TYPE, kind).body(body));
        }
        url.query_pairs_mut().extend_pairs(wanted);
        let request = self.http().get(url);
        Ok(match secret {
            Some(Secret::Password { user, password }) => request.basic_auth(user, Some(password)),
            _ => request,
        })
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<HeaderValue> {
        let request = self.token_request(realm, service)?;
        let mut response = self.sent(request).await?;
        match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => return Err(self.denied(status)?),
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
