//! One blob from a registry into the store, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use super::Descriptor;
use crate::error::{Error, Kind, Result};
use crate::registry::{Registry, starts_at};
use crate::store::Store;
use crate::store::partial::{Claim, Partial, Progress};

/// How often a broken download is taken up again.
const RETRIES: u32 = 3;
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
) -> Result<()> {
    let mut partial = loop {
        match store.claim(descriptor, progress)? {
            Claim::Mine(partial) => break partial,
            Claim::Done => return Ok(()),
            Claim::Busy => tokio::time::sleep(POLL).await,
        }
    };
    let mut tries = 0;
    while let Err(e) = receive(registry, descriptor, &mut partial).await {
        tries += 1;
        if e.kind() != Kind::Unreachable || tries > RETRIES {
            return Err(e);
        }
        tokio::time::sleep(POLL * 4_u32.pow(tries)).await;
    }
    partial.commit(store, descriptor)
}

/// One request for what is missing of a blob.
async fn receive(registry: &Registry, descriptor: &Descriptor, partial: &mut Partial) -> Result<()> {
    let have = partial.len();
    if have == descriptor.size && have > 0 {
        return Ok(());
    }
    let mut response = registry.blob(&descriptor.digest, have).await?;
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
    }
    Ok(())
}
