//! What repositories there are: a registry's catalogue, and the search that Docker Hub has.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Registry;
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};

const PAGE: usize = 1000;

/// A repository that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Its path at the registry.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
}

#[derive(Deserialize)]
struct Page {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Result1>,
}

#[derive(Deserialize)]
struct Result1 {
    name: String,
    #[serde(default)]
    description: Option<String>,
}

impl Registry {
    /// The repositories whose name has a word in it: by the registry's search where it has one, else from
    /// its whole catalogue.
    pub async fn search(&self, word: &str) -> Result<Vec<Found>> {
        let path = format!("/v1/search?n=100&q={}", escaped(word));
        if !word.is_empty()
            && let Ok(response) = self.client().send(&Method::GET, &path, &HeaderMap::new()).await
            && response.status().is_success()
            && let Ok(answer) = crate::image::json::<Results>(&self.body(response).await?)
        {
            let found = answer.results.into_iter();
            let found = found.map(|r| Found { name: r.name, description: r.description.unwrap_or_default() });
            return Ok(found.collect());
        }
        let all = self.catalog().await?.into_iter().filter(|name| name.contains(word));
        Ok(all.map(|name| Found { name, description: String::new() }).collect())
    }

    async fn catalog(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut path = format!("/v2/_catalog?n={PAGE}");
        for _ in 0..10_000 {
            let response = self.client().send(&Method::GET, &path, &HeaderMap::new()).await?;
            let missing = || format!("the registry {} has no catalogue", self.client().host());
            let response = self.expect(response, missing).await?;
            let next = super::tags::next(response.headers()).map(str::to_owned);
            let step = || "read the catalogue";
            let page: Page =
                crate::image::json(&self.body(response).await.while_doing(step)?).while_doing(step)?;
            names.extend(page.repositories.unwrap_or_default());
            match next {
                Some(link) => path = self.within(&path, &link)?,
                None => return Ok(names),
            }
        }
        Err(Error::invalid("the registry's pages lead in a circle"))
    }

    /// The index of what refers to a manifest: by the API, or else by the tag that stands in for it.
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = format!("/v2/{}/referrers/{digest}", self.path());
        let response = self.client().send(&Method::GET, &path, &HeaderMap::new()).await?;
        if response.status().is_success() {
            return self.body(response).await.while_doing(|| "read the referrers");
        }
        match self.manifest(&digest.stand_in()).await {
            Ok(fetched) => Ok(fetched.bytes),
            Err(e) if e.kind() == Kind::NotFound => {
                crate::image::edit::to_bytes(&crate::layout::empty_index())
            }
            Err(e) => Err(e),
        }
    }
}

fn escaped(word: &str) -> String {
    let escape = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    word.bytes().map(escape).collect()
}
