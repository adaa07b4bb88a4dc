//! A repository's tags, page by page.

use std::collections::HashSet;

use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

use super::Registry;
use crate::error::{Context, Error, Result};

/// Tags that are asked for at once; a registry may give fewer.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    /// Some registries say null for none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of the repository, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let (mut tags, mut asked) = (Vec::new(), HashSet::new());
        let mut path = format!("/v2/{}/tags/list?n={PAGE}", self.path());
        while asked.insert(path.clone()) {
            let response = self.client().send(&Method::GET, &path, &HeaderMap::new()).await?;
            let host = self.client().host();
            let missing = || format!("the registry {host} has no repository {}", self.path());
            let response = self.expect(response, missing).await?;
            let page = || "read the list of tags";
            let next = next(response.headers()).map(str::to_owned);
            let bytes = self.body(response).await.while_doing(page)?;
            let read: Page = crate::image::json(&bytes).while_doing(page)?;
            tags.extend(read.tags.unwrap_or_default());
            match next {
                Some(link) => path = self.within(&path, &link)?,
                None => return Ok(tags),
            }
        }
        Err(Error::invalid("the registry's pages lead in a circle"))
    }

    /// Where a link of this registry leads, as a path: what is for its ears goes to nobody else.
    pub(super) fn within(&self, path: &str, link: &str) -> Result<String> {
        let base = self.client().base()?;
        let joined = base.join(path).and_then(|page| page.join(link));
        let url = joined.map_err(|_| Error::invalid(format!("the link {link:?} is none")))?;
        if url.origin() != base.origin() {
            return Err(Error::invalid(format!("the next page would be at another host, {url}")));
        }
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        Ok(format!("{}{query}", url.path()))
    }
}

/// The link to the next page (RFC 8288), if there is one.
pub(super) fn next(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let mut parts = links.flat_map(|value| value.split(',')).filter_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
        parameters.split(';').any(next).then_some(url)
    });
    parts.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_that_is_the_next_is_found_among_others() {
        for (text, want) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("/v2/a/tags/list?n=2&last=b")),
            ("<https://q.io/x>;rel=next", Some("https://q.io/x")),
            ("</first>; rel=\"first\", </next>; title=x; rel=\"next\"", Some("/next")),
            ("</first>; rel=\"first\"", None),
            ("nonsense", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, text.parse().unwrap())]);
            assert_eq!(next(&headers), want, "{text}");
        }
    }
}
