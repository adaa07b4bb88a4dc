//! The writing half: uploads, manifests, removal. One request each; `remote` puts them together.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};

use super::{Registry, is_loopback};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

const BYTES: &str = "application/octet-stream";

impl Registry {
    /// Whether the repository has a blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{}/blobs/{digest}", self.path());
        let response = self.client().send(&Method::HEAD, &path, &HeaderMap::new()).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => self.expect(response, String::new).await.map(|_| true),
        }
    }

    /// What a tag or digest stands for, without its bytes; `None` if there is no such manifest.
    pub async fn digest(&self, selector: &str) -> Result<Option<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::ACCEPT, HeaderValue::from_static(super::ACCEPTED));
        let path = format!("/v2/{}/manifests/{selector}", self.path());
        let response = self.client().send(&Method::HEAD, &path, &headers).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let response = self.expect(response, String::new).await?;
                let digest = response.headers().get("docker-content-digest");
                Ok(digest.and_then(|digest| digest.to_str().ok()).map(str::to_owned))
            }
        }
    }

    /// Takes a blob from another repository; `None` if that was done, else where its upload goes.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<Option<Url>> {
        self.client().also_read(from);
        let path = format!("/v2/{}/blobs/uploads/?mount={digest}&from={from}", self.path());
        let url = self.client().at(&path).await?;
        let response = self.client().call(&Method::POST, &url, &empty(), Some(Vec::new())).await?;
        match response.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => self.location(&response).map(Some),
            // Who may write here may not read there: then the bytes go the long way.
            _ => self.begin().await.map(Some),
        }
    }

    /// Begins an upload.
    pub async fn begin(&self) -> Result<Url> {
        let url = self.client().at(&format!("/v2/{}/blobs/uploads/", self.path())).await?;
        let response = self.client().call(&Method::POST, &url, &empty(), Some(Vec::new())).await?;
        let response = self.expect(response, || format!("{} takes no uploads", self.name)).await?;
        self.location(&response)
    }

    /// Sends bytes `from..to` of a blob; gives where the next ones go.
    pub async fn part(&self, url: &Url, from: u64, to: u64, body: Body) -> Result<Url> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(to - from));
        if let Ok(range) = HeaderValue::from_str(&format!("{from}-{}", to - 1)) {
            headers.insert(CONTENT_RANGE, range);
        }
        let request = self.client().request(&Method::PATCH, url, &headers).body(body);
        let response = self.client().once(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(Error::new(Kind::Unreachable, "the token for the upload is no longer taken"));
        }
        let response = self.expect(response, || "the upload is gone".to_owned()).await?;
        self.location(&response)
    }

    /// How far an upload has come, and where it goes on.
    pub async fn progress(&self, url: &Url) -> Result<(Url, u64)> {
        let response = self.client().call(&Method::GET, url, &HeaderMap::new(), None).await?;
        let response = self.expect(response, || "the upload is gone".to_owned()).await?;
        let range = response.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let last =
            range.and_then(|range| range.rsplit_once('-')).and_then(|(_, last)| last.parse::<u64>().ok());
        // `0-0` is said for nothing, too.
        let have = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        Ok((self.location(&response)?, have))
    }

    /// Ends an upload with its last bytes, which may be all.
    pub async fn complete(&self, url: &Url, digest: &Digest, rest: Vec<u8>) -> Result<()> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
        let response = self.client().call(&Method::PUT, &url, &headers, Some(rest)).await?;
        self.expect(response, || "the upload is gone".to_owned()).await.map(|_| ())
    }

    /// Gives an upload up.
    pub async fn cancel(&self, url: &Url) -> Result<()> {
        self.client().call(&Method::DELETE, url, &HeaderMap::new(), None).await.map(|_| ())
    }

    /// Puts a manifest under a tag or its digest.
    pub async fn put_manifest(&self, selector: &str, media_type: &str, bytes: &[u8]) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| Error::invalid(format!("media type {media_type:?} is none")))?;
        headers.insert(CONTENT_TYPE, kind);
        let url = self.client().at(&format!("/v2/{}/manifests/{selector}", self.path())).await?;
        let response = self.client().call(&Method::PUT, &url, &headers, Some(bytes.to_vec())).await?;
        let response = self.expect(response, || format!("{} takes no manifests", self.name)).await?;
        Ok(response.headers().clone())
    }

    /// Removes a manifest by its digest, or a tag where the registry can do that.
    pub async fn delete(&self, selector: &str) -> Result<()> {
        let path = format!("/v2/{}/manifests/{selector}", self.path());
        let response = self.client().send(&Method::DELETE, &path, &HeaderMap::new()).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let what = format!("the registry {} does not let anybody delete", self.client().host());
            return Err(Error::new(Kind::Unsupported, what));
        }
        self.expect(response, || self.missing(selector)).await.map(|_| ())
    }

    /// Where an upload goes on; never without TLS to somebody else.
    fn location(&self, response: &Response) -> Result<Url> {
        let said = response.headers().get(LOCATION).and_then(|url| url.to_str().ok());
        let said = said.ok_or_else(|| Error::invalid("the registry does not say where the upload goes"))?;
        let bad = || Error::invalid(format!("the registry sends the upload to {said:?}, which is no URL"));
        let mut url = response.url().join(said).map_err(|_| bad())?;
        let own = response.url();
        // A registry behind a proxy that ends TLS may not know its own scheme.
        if own.scheme() == "https" && url.scheme() == "http" && url.host_str() == own.host_str() {
            url.set_scheme("https").map_err(|()| bad())?;
        }
        let same = url.host_str() == own.host_str();
        match url.scheme() == "https" || same || is_loopback(url.host_str().unwrap_or_default()) {
            true => Ok(url),
            false => Err(Error::invalid(format!("the registry sends the upload to {url} without TLS"))),
        }
    }
}

/// Some registries want to be told that there is no body.
fn empty() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(0))])
}
