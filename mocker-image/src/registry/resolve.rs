//! Names of hosts to addresses, without the C library (whose resolver loads modules).
//!
//! `localhost` is this machine whatever files say or lack; then /etc/hosts; then the servers of
//! /etc/resolv.conf, and no others: a name that the user's own servers do not know is not asked for
//! elsewhere. Each file is read when a name first needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

use crate::error::{Context, Error, Kind, Result};

const HOSTS: &str = "/etc/hosts";
const SERVERS: &str = "/etc/resolv.conf";

/// Resolves for one client.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolver {
    dns: Arc<OnceCell<TokioResolver>>,
}

/// Whether a name means this machine (RFC 6761).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.addresses(name.as_str()).await;
            let found = found.while_doing(|| format!("resolve {}", name.as_str()))?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

impl Resolver {
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>> {
        if is_localhost(name) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        // Without the file nobody is in it.
        let hosts = std::fs::read(HOSTS).unwrap_or_default();
        let known = hosts_of(&String::from_utf8_lossy(&hosts), name);
        if !known.is_empty() {
            return Ok(known);
        }
        let dns = self.dns.get_or_try_init(|| async { dns() }).await?;
        let answer = dns.lookup_ip(name).await.map_err(|e| match e.is_no_records_found() {
            true => Error::new(Kind::NotFound, "no such host"),
            false => Error::new(Kind::Unreachable, format!("the servers of {SERVERS} do not tell ({e})")),
        })?;
        Ok(answer.iter().collect())
    }
}

fn dns() -> Result<TokioResolver> {
    let text = std::fs::read(SERVERS).while_doing(|| format!("read {SERVERS}"))?;
    let (config, mut options) = parse_resolv_conf(text)
        .map_err(|e| Error::invalid(e.to_string()))
        .while_doing(|| format!("read {SERVERS}"))?;
    if config.name_servers().is_empty() {
        return Err(Error::new(Kind::NotFound, format!("{SERVERS} names no server")));
    }
    options.use_hosts_file = ResolveHosts::Never;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().map_err(|e| Error::new(Kind::Internal, e.to_string()))
}

/// The addresses that a hosts file has for a name.
fn hosts_of(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next()?.parse::<IpAddr>().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_gives_every_address_of_a_name() {
        let text = "# x\n127.0.0.1 a b # c\n::1\tB\nbroken b\n10.0.0.1 c\n";
        let addresses = |name| hosts_of(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("b"), ["127.0.0.1", "::1"]);
        assert_eq!(addresses("c."), ["10.0.0.1"]);
        assert!(addresses("x").is_empty() && addresses("10.0.0.1").is_empty());
    }
}
