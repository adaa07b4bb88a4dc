//! Network devices of the runtime's that move into the container, with their lasting addresses
//! (config-linux.md "Network Devices").

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::namespaces::Namespaces;
use crate::plan::network::Device;
use crate::sys::netlink::{Address, Link, Netlink};
use crate::sys::{ns, path};

/// Devices that are in the container now, to be brought back if it comes to nothing.
#[derive(Default)]
pub(super) struct Moved(Vec<Guest>, Option<Places>);

/// One of them.
struct Guest {
    name: String,
    /// Its number in the container
    index: u32,
    was_up: bool,
    addresses: Vec<Address>,
}

/// Both network namespaces.
struct Places {
    host: OwnedFd,
    container: OwnedFd,
    /// A socket that speaks for the container's
    inside: Netlink,
}

impl Places {
    fn open(namespaces: &Namespaces, pid: i32) -> Result<Self> {
        let host = path::open(Path::new("/proc/self/ns/net"), OFlags::RDONLY)?;
        let made = format!("/proc/{pid}/ns/net");
        let joined = namespaces.path(libc::CLONE_NEWNET);
        let container = path::open(joined.map_or(Path::new(&made), |path| path), OFlags::RDONLY)?;
        let net = libc::CLONE_NEWNET as u64;
        ns::join(container.as_fd(), net)?;
        let inside = Netlink::open();
        ns::join(host.as_fd(), net)?;
        Ok(Self { host, container, inside: inside? })
    }
}

/// Moves all devices; none stays moved when one fails.
pub(super) fn move_in(devices: &[Device], namespaces: &Namespaces, pid: i32) -> Result<Moved> {
    if devices.is_empty() {
        return Ok(Moved::default());
    }
    let outside = Netlink::open()?;
    let mut moved = Moved(Vec::new(), Some(Places::open(namespaces, pid)?));
    for device in devices {
        let act = || format!("move the network device {} into the container", device.outside);
        if let Err(error) = moved.take(&outside, device).while_doing(act) {
            moved.take_back()?;
            return Err(error);
        }
    }
    Ok(moved)
}

impl Moved {
    fn take(&mut self, outside: &Netlink, device: &Device) -> Result<()> {
        let Self(guests, Some(places)) = self else { return Ok(()) };
        let Some(link) = outside.links()?.into_iter().find(|link| link.name == device.outside) else {
            return Err(Error::new(Kind::NotFound, "there is no such device"));
        };
        let addresses = outside.addresses(link.index)?;
        let before = places.inside.links()?;
        if before.iter().any(|there| there.name == device.inside) {
            let name = &device.inside;
            return Err(Error::new(Kind::Exists, format!("the container has a device {name} already")));
        }
        outside.switch(link.index, false)?;
        let sent = outside.send(link.index, places.container.as_fd(), &device.inside);
        if sent.is_err() && link.up {
            outside.switch(link.index, true)?;
        }
        sent.map_err(|error| match error.is_errno(Errno::EXIST) {
            true => Error::new(Kind::Exists, format!("the name {} is taken there", device.inside)),
            false => error,
        })?;
        let arrived = arrival(&places.inside, &before)?;
        let lasting = addresses.iter().filter(|address| address.is_global_and_permanent());
        let lasting: Vec<Address> = lasting.cloned().collect();
        guests.push(Guest { name: link.name, index: arrived, was_up: link.up, addresses: lasting.clone() });
        lasting.iter().try_for_each(|address| places.inside.add_address(arrived, address))?;
        places.inside.switch(arrived, true)
    }

    /// Brings everything back as it was.
    pub(super) fn take_back(self) -> Result<()> {
        let Self(guests, Some(places)) = self else { return Ok(()) };
        let outside = Netlink::open()?;
        for guest in guests.into_iter().rev() {
            let act = || format!("bring the network device {} back", guest.name);
            let before = outside.links()?;
            places.inside.switch(guest.index, false).while_doing(act)?;
            places.inside.send(guest.index, places.host.as_fd(), &guest.name).while_doing(act)?;
            let index = arrival(&outside, &before)?;
            guest
                .addresses
                .iter()
                .try_for_each(|address| outside.add_address(index, address))
                .while_doing(act)?;
            if guest.was_up {
                outside.switch(index, true).while_doing(act)?;
            }
        }
        Ok(())
    }
}

/// The number of the device that was not there before: both its number and its name may be new.
fn arrival(netlink: &Netlink, before: &[Link]) -> Result<u32> {
    let known = |link: &Link| before.iter().any(|old| old.index == link.index);
    let new = netlink.links()?.into_iter().find(|link| !known(link));
    new.map(|link| link.index).ok_or_else(|| Error::new(Kind::NotFound, "it has not arrived"))
}
