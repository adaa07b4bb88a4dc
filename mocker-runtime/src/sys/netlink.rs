//! Network devices by rtnetlink(7): as much as moving one to another network namespace takes.
//!
//! A socket speaks for the namespace in which it was opened, wherever its owner goes later.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Error, Kind, Result, WhileDoing};

/// As large as the kernel's own dumps.
const BUFFER: usize = 32 * 1024;
/// `struct nlmsghdr`, `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtattr`: their lengths in bytes.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ATTRIBUTE: usize = 4;

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
}

/// An address of a device, in the kernel's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `struct ifaddrmsg`: family, prefix length, flags, scope, device
    head: [u8; ADDRESS],
    /// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST` and `IFA_FLAGS` with what they hold
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Set by a person or program for good, and meant for everybody: no lease, no link-local address.
    pub(crate) fn is_global_and_permanent(&self) -> bool {
        let [_, _, flags, scope, ..] = self.head;
        let wide = self.attributes.iter().find(|(kind, _)| *kind == libc::IFA_FLAGS);
        let flags = wide.and_then(|(_, bytes)| word(bytes, 0)).unwrap_or(u32::from(flags));
        flags & libc::IFA_F_PERMANENT != 0 && scope == libc::RT_SCOPE_UNIVERSE
    }
}

/// A socket to the kernel's network devices.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// Opens it in this process's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // NETLINK_ROUTE
        );
        socket.map(Self).while_doing(|| "open a netlink socket")
    }

    /// All devices of the namespace.
    pub(crate) fn links(&self) -> Result<Vec<Link>> {
        let request = Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &[0; LINK]);
        let answers = self.ask(request).while_doing(|| "list the network devices")?;
        Ok(answers.iter().filter_map(|answer| parse_link(answer)).collect())
    }

    /// All addresses of a device.
    pub(crate) fn addresses(&self, index: u32) -> Result<Vec<Address>> {
        let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS]);
        let answers = self.ask(request).while_doing(|| "list the addresses of network devices")?;
        Ok(answers.iter().filter_map(|answer| parse_address(answer, index)).collect())
    }

    /// Switches a device on or off.
    pub(crate) fn switch(&self, index: u32, up: bool) -> Result<()> {
        const UP: u32 = libc::IFF_UP as u32;
        let request = Request::new(libc::RTM_NEWLINK, 0, &link_head(index, if up { UP } else { 0 }, UP));
        self.ask(request).map(drop).while_doing(|| format!("switch it {}", if up { "on" } else { "off" }))
    }

    /// Moves a device to another network namespace, under a name that must be free there. It loses its addresses
    /// and is switched off.
    pub(crate) fn send(&self, index: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0, &link_head(index, 0, 0));
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        request.attribute(libc::IFLA_IFNAME, &text);
        request.attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        self.ask(request).map(drop)
    }

    /// Gives a device an address.
    pub(crate) fn add_address(&self, index: u32, address: &Address) -> Result<()> {
        let mut head = address.head;
        head[4..].copy_from_slice(&index.to_ne_bytes());
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &head);
        address.attributes.iter().for_each(|(kind, bytes)| request.attribute(*kind, bytes));
        self.ask(request).map(drop).while_doing(|| "add an address")
    }

    /// Sends a request and gives what the kernel answers, up to its end or its acknowledgement.
    fn ask(&self, request: Request) -> Result<Vec<Vec<u8>>> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.0, &request.finish(), SendFlags::empty(), &kernel)
            .while_doing(|| "send a netlink message")?;
        let mut answers = Vec::new();
        loop {
            let mut buffer = vec![0_u8; BUFFER];
            let (n, _) = rustix::net::recv(self.0.as_fd(), buffer.as_mut_slice(), RecvFlags::empty())
                .while_doing(|| "receive a netlink message")?;
            let mut rest = buffer.get(..n).unwrap_or_default();
            while let Some((kind, body, next)) = split(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(answers),
                    libc::NLMSG_ERROR => return acknowledged(body).map(|()| answers),
                    _ => answers.push(body.to_vec()),
                }
                rest = next;
            }
            if n == 0 {
                return Err(Error::new(Kind::Internal, "the netlink socket has ended"));
            }
        }
    }
}

/// A message on its way to the kernel.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: i32, head: &[u8]) -> Self {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(head);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTRIBUTE + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(aligned(self.0.len()), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The first message: its kind, what follows its header, and the rest.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = word(bytes, 0)? as usize;
    let body = bytes.get(HEADER..length)?;
    Some((short(bytes, 4)?, body, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// `struct nlmsgerr`: 0, or an errno below it.
fn acknowledged(body: &[u8]) -> Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(-errno).into()),
        None => Err(Error::new(Kind::Internal, "the kernel's answer is cut off")),
    }
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (short(bytes, 0), short(bytes, 2)) {
        let Some(value) = bytes.get(ATTRIBUTE..usize::from(length)) else { break };
        found.push((kind, value));
        bytes = bytes.get(aligned(usize::from(length))..).unwrap_or_default();
    }
    found
}

fn link_head(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut head = [0; LINK];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    head
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let (index, flags) = (word(body, 4)?, word(body, 8)?);
    let attributes = attributes(body.get(LINK..)?);
    let (_, name) = attributes.iter().find(|(kind, _)| *kind == libc::IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
    Some(Link { index, name, up: flags & libc::IFF_UP as u32 != 0 })
}

fn parse_address(body: &[u8], index: u32) -> Option<Address> {
    const KEPT: [u16; 4] = [libc::IFA_ADDRESS, libc::IFA_LOCAL, libc::IFA_BROADCAST, libc::IFA_FLAGS];
    if word(body, 4)? != index {
        return None;
    }
    let attributes = attributes(body.get(ADDRESS..)?);
    let kept = attributes.into_iter().filter(|(kind, _)| KEPT.contains(kind));
    Some(Address {
        head: body.get(..ADDRESS)?.try_into().ok()?,
        attributes: kept.map(|(kind, value)| (kind, value.to_vec())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_and_read_alike() {
        let mut request = Request::new(1, 0, &[]);
        request.attribute(3, b"eth0\0");
        request.attribute(8, &7_u32.to_ne_bytes());
        let bytes = request.finish();
        let (kind, body, rest) = split(&bytes).expect("is one message");
        assert_eq!((kind, rest.len()), (1, 0));
        assert_eq!(attributes(body), [(3, &b"eth0\0"[..]), (8, &7_u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn the_loopback_device_is_there_with_its_addresses() {
        let netlink = Netlink::open().expect("opens");
        let links = netlink.links().expect("lists");
        let lo = links.iter().find(|link| link.name == "lo").expect("every namespace has one");
        assert!(netlink.addresses(lo.index).expect("lists").iter().all(|a| !a.is_global_and_permanent()));
    }
}
