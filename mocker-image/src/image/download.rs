//! One blob from a registry into the store, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;

use super::Descriptor;
use crate::error::{Error, Kind, Result};
use crate::progress::Bar;
use crate::registry::retry::{Backoff, is_broken};
use crate::registry::{Registry, starts_at};
use crate::store::Store;
use crate::store::partial::{Claim, Partial, Progress};

/// How long to wait before asking again whether another program is done with a blob.
const POLL: Duration = Duration::from_millis(50);

/// A small blob in memory; what is longer than its descriptor says is cut behind that.
pub(super) async fn whole(registry: &Registry, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let mut response = registry.blob(&descriptor.digest, 0).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = registry.chunk(&mut response).await? {
        bytes.extend_from_slice(chunk.as_ref());
        if bytes.len() as u64 > descriptor.size {
            break;
        }
    }
    Ok(bytes)
}

/// Brings one blob into the store, going on where an earlier program or connection stopped.
pub(super) async fn download(
    store: &Store,
    registry: &Registry,
    descriptor: &Descriptor,
    progress: &Arc<Progress>,
    bar: &Bar,
) -> Result<()> {
    let mut partial = loop {
        match store.claim(descriptor, progress)? {
            Claim::Mine(partial) => break partial,
            Claim::Done => return Ok(()),
            Claim::Busy => tokio::time::sleep(POLL).await,
        }
    };
    bar.add(partial.len());
    let mut backoff = Backoff::default();
    loop {
        let have = partial.len();
        if have == descriptor.size && have > 0 {
            break;
        }
        // Asking tries again by itself.
        let response = registry.blob(&descriptor.digest, have).await?;
        let Err(e) = receive(registry, response, descriptor, (&mut partial, bar)).await else {
            break;
        };
        if partial.len() > have {
            backoff = Backoff::default();
        }
        match backoff.next().filter(|_| e.kind() == Kind::Unreachable || is_broken(&e)) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(e),
        }
    }
    partial.commit(store, descriptor)
}

/// Takes an answer's bytes, but for those that are here already.
async fn receive(
    registry: &Registry,
    mut response: Response,
    descriptor: &Descriptor,
    (partial, bar): (&mut Partial, &Bar),
) -> Result<()> {
    let have = partial.len();
    let start = starts_at(&response, have);
    if let Some(offered) = response.content_length()
        && start + offered != descriptor.size
    {
        let (offered, size) = (start + offered, descriptor.size);
        return Err(Error::invalid(format!(
            "the registry has {offered} bytes of it, the manifest says {size}"
        )));
    }
    let mut skip = have - start;
    while let Some(chunk) = registry.chunk(&mut response).await? {
        let chunk = chunk.as_ref();
        let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= known as u64;
        partial.write(&chunk[known..])?;
        bar.add((chunk.len() - known) as u64);
    }
    Ok(())
}
