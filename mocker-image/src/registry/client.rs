//! One HTTP client for one registry: scheme, authentication, and errors in our words.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::challenge::Challenge;
use super::credentials::{self, Credentials, Secret};
use super::retry::{self, Backoff};
use super::{Actions, Settings, is_loopback, resolve, tls};
use crate::error::{Context, Error, Kind, Result};
use crate::reference::registry_of;

const AGENT: &str = concat!("mocker-image/", env!("CARGO_PKG_VERSION"));
/// A host that does not take a connection by then is not there.
const CONNECT: Duration = Duration::from_secs(30);
/// A registry that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirects that a blob may take.
const REDIRECTS: usize = 10;

/// A connection pool and what was learned about the registry behind it.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    host: String,
    path: String,
    settings: Settings,
    learned: Mutex<Learned>,
    /// The repository's whole name, by which credentials are found.
    name: String,
    credentials: OnceLock<Result<Option<Credentials>>>,
}

#[derive(Debug, Default, Clone)]
struct Learned {
    scheme: Option<&'static str>,
    authorization: Option<HeaderValue>,
    /// Scopes of other repositories.
    beside: Vec<String>,
}

impl Client {
    /// `host` as it is written in names; an empty path is the registry as a whole.
    pub(super) fn new(host: &str, path: &str, settings: &Settings) -> Result<Self> {
        let name = format!("{host}/{path}").trim_end_matches('/').to_owned();
        let host = registry_of(host);
        let lax = settings.is_insecure(host).then(|| host.to_owned());
        let plain = may_be_plain(host, settings);
        let mut builder = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .dns_resolver(Arc::new(resolve::Resolver::default()))
            .redirect(redirects())
            .tls_backend_preconfigured(tls::config(
                lax.as_deref(),
                settings.cert_dir.clone().or_else(|| tls::own_dir(host)),
            )?);
        if plain && is_loopback(host) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| told(&e)).while_doing(|| "prepare the HTTP client")?;
        let bad = |_| Error::invalid("the token has a character that no header may have");
        let token = settings.token.as_ref().map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let authorization = token.transpose().map_err(bad)?;
        let scheme = (!plain).then_some("https");
        let learned = Mutex::new(Learned { scheme, authorization, beside: Vec::new() });
        let (host, path, settings) = (host.to_owned(), path.to_owned(), settings.clone());
        Ok(Self { http, host, path, settings, learned, name, credentials: OnceLock::new() })
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Who we are here: looked up when it is first asked for.
    pub(super) fn credentials(&self) -> Result<Option<&Credentials>> {
        let look = || match self.settings.credentials.clone() {
            Some((user, password)) => {
                Ok(Some(Credentials { secret: Secret::Password { user, password }, origin: None }))
            }
            None if self.settings.anonymous => Ok(None),
            None => credentials::find(&self.name, self.settings.authfile.as_deref()),
        };
        self.credentials.get_or_init(look).as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Whether a URL may go without TLS.
    pub(super) fn may_be_plain(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let named = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        url.scheme() == "http" && may_be_plain(&named, &self.settings)
    }

    /// Where the registry answers; known after the first request.
    pub(super) fn base(&self) -> Result<Url> {
        self.url(self.learned().scheme.unwrap_or("https"), "/")
    }

    /// The registry does not let us; an error of its own if who we are cannot be found out.
    pub(super) fn denied(&self, status: StatusCode) -> Result<Error> {
        let host = &self.host;
        if let Some(credentials) = self.credentials()? {
            let what = format!("the registry {host} refuses {} ({status})", credentials.name());
            let hint = "other ones are kept by `mocker-image login`, or given with --creds USER:PASSWORD";
            return Ok(Error::new(Kind::Denied, what).hint(hint));
        }
        let what = match self.path.as_str() {
            "" => format!("the registry {host} wants credentials ({status})"),
            path => format!("the registry {host} wants credentials for {path} ({status})"),
        };
        let place = self.name.split('/').next().unwrap_or_default();
        Ok(Error::new(Kind::Denied, what).hint(format!(
            "log in with `mocker-image login {place}`, or give --creds USER:PASSWORD; \
             many registries also answer so where there is no such image"
        )))
    }

    /// Sends a request without a body, with what the registry wants for it.
    pub(super) async fn send(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Response> {
        self.call(method, &self.at(path).await?, headers, None).await
    }

    /// The URL of one of the registry's paths.
    pub(super) async fn at(&self, path: &str) -> Result<Url> {
        let scheme = match self.learned().scheme {
            Some(scheme) => scheme,
            None => self.find_scheme().await?,
        };
        self.url(scheme, path)
    }

    /// Sends a request, again where that may help, with what the registry wants for it.
    pub(super) async fn call(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response> {
        let request = || {
            let request = self.request(method, url, headers);
            body.iter().fold(request, |request, body| request.body(body.clone()))
        };
        let response = self.sent(request()).await?;
        // Who stands behind a redirect has no say in whom we tell our credentials (CVE-2019-10214).
        if response.status() != StatusCode::UNAUTHORIZED || self.stranger(&response).is_some() {
            return Ok(response);
        }
        let offers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let Some(challenge) = Challenge::choose(offers) else {
            return Err(self.denied(response.status())?);
        };
        let authorization = self.answer(&challenge).await?;
        self.learn(|learned| learned.authorization = Some(authorization));
        self.sent(request()).await
    }

    /// A request that says who we are, if it goes to the registry itself.
    pub(super) fn request(&self, method: &Method, url: &Url, headers: &HeaderMap) -> RequestBuilder {
        let request = self.http.request(method.clone(), url.clone()).headers(headers.clone());
        match self.learned().authorization.filter(|_| self.is_own(url)) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Sends a request once, whatever comes of it.
    pub(super) async fn once(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|e| told(&e)).while_doing(|| format!("ask {}", self.host))
    }

    /// Sends one request as it is, again if the answer is one that passes by.
    pub(super) async fn sent(&self, request: RequestBuilder) -> Result<Response> {
        let mut backoff = Backoff::default();
        loop {
            let response = self.reached(&request, &mut backoff).await?;
            match backoff.after(&response) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(response),
            }
        }
    }

    /// Any answer to a request, which is sent again where a connection breaks.
    async fn reached(&self, request: &RequestBuilder, backoff: &mut Backoff) -> Result<Response> {
        loop {
            let copy = request.try_clone();
            let copy = copy.ok_or_else(|| Error::new(Kind::Internal, "a request that cannot be repeated"))?;
            let failed = match copy.send().await {
                Ok(response) => return Ok(response),
                Err(e) => e,
            };
            let e = told(&failed);
            let ended = failed.is_request() && !failed.is_connect() && !failed.is_timeout();
            match backoff.next().filter(|_| ended || retry::is_broken(&e)) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(e.step(format!("ask {}", self.host))),
            }
        }
    }

    /// The other host, where a redirect led to one.
    pub(super) fn stranger(&self, response: &Response) -> Option<String> {
        let other = response.url();
        let named = || other.port().map_or_else(String::new, |port| format!(":{port}"));
        (!self.is_own(other)).then(|| format!("{}{}", other.host_str().unwrap_or_default(), named()))
    }

    fn is_own(&self, url: &Url) -> bool {
        let place = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()));
        self.base().is_ok_and(|own| place(&own) == place(url))
    }

    /// What a token is asked for: the scopes of the repository and of those that are read from beside it.
    pub(super) fn scopes(&self) -> Vec<String> {
        let own = match (self.path.as_str(), self.settings.actions) {
            ("", Actions::Catalog) => Some("registry:catalog:*".to_owned()),
            ("", _) => None,
            (path, actions) => Some(format!("repository:{path}:{}", actions.words())),
        };
        own.into_iter().chain(self.learned().beside).collect()
    }

    /// From now on another repository is read, too; its token is asked for when the registry wants it.
    pub(super) fn also_read(&self, path: &str) {
        let scope = format!("repository:{path}:pull");
        self.learn(|learned| {
            if !learned.beside.contains(&scope) {
                learned.beside.push(scope);
            }
        });
    }

    /// The next bytes of a body.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        response.chunk().await.map_err(|e| told(&e)).while_doing(|| format!("receive from {}", self.host))
    }

    /// Finds out whether a host that may be plain is. This machine's is asked in plain HTTP first:
    /// nobody listens in between, and most have no certificate; others are asked by TLS first.
    async fn find_scheme(&self) -> Result<&'static str> {
        let order = if is_loopback(&self.host) { ["http", "https"] } else { ["https", "http"] };
        let mut first = None;
        for scheme in order {
            let request = self.http.get(self.url(scheme, "/v2/")?);
            let asked = self.reached(&request, &mut Backoff::default()).await;
            match asked {
                // Go's TLS server tells a plain request so.
                Ok(response) if scheme == "http" && response.status() == StatusCode::BAD_REQUEST => {}
                Ok(_) => {
                    self.learn(|learned| learned.scheme = Some(scheme));
                    return Ok(scheme);
                }
                Err(e) => drop(first.get_or_insert(e)),
            }
        }
        Err(first.unwrap_or_else(|| {
            Error::new(Kind::Unreachable, format!("{} answers in no known way", self.host))
        }))
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Url> {
        let url = format!("{scheme}://{}{path}", self.host);
        Url::parse(&url).map_err(|e| Error::invalid(format!("URL {url:?}: {e}")))
    }

    fn learned(&self) -> Learned {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, what: impl FnOnce(&mut Learned)) {
        what(&mut self.learned.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn may_be_plain(host: &str, settings: &Settings) -> bool {
    is_loopback(host) || settings.is_insecure(host)
}

/// Redirects may not lead from TLS to no TLS, nor from anywhere to plain HTTP elsewhere.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        let same_host =
            attempt.previous().last().is_some_and(|url| url.host_str() == attempt.url().host_str());
        let plain = attempt.url().scheme() != "https";
        let here = is_loopback(attempt.url().host_str().unwrap_or_default());
        if attempt.previous().len() > REDIRECTS {
            return attempt
                .error(Error::invalid(format!("the registry redirects more than {REDIRECTS} times")));
        }
        match plain && (from_tls || !(same_host || here)) {
            true => {
                let e = Error::invalid(format!("the registry redirects to {} without TLS", attempt.url()));
                attempt.error(e)
            }
            false => attempt.follow(),
        }
    })
}

/// The innermost cause in our words: ours if one of ours is inside, else the kernel's, else the library's.
fn told(e: &reqwest::Error) -> Error {
    let mut cause: &(dyn std::error::Error + 'static) = e;
    loop {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return ours.clone();
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls::told(tls);
        }
        let io = cause.downcast_ref::<std::io::Error>();
        if let Some(errno) = io.and_then(std::io::Error::raw_os_error) {
            return std::io::Error::from_raw_os_error(errno).into();
        }
        // An io::Error's source is its content's source: its content would be passed over.
        let inner =
            io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        match inner.or_else(|| cause.source()) {
            Some(next) => cause = next,
            None if e.is_timeout() => return Error::new(Kind::Unreachable, "no answer in time"),
            None if e.is_connect() && e.url().is_some_and(|url| url.scheme() == "https") => {
                let e = Error::new(Kind::Unreachable, format!("no TLS there ({cause})"));
                return e.hint("name a registry without TLS with --insecure-registry HOST:PORT");
            }
            None => return Error::new(Kind::Unreachable, cause.to_string()),
        }
    }
}
