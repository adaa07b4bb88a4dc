//! Which ids of the host stand for those of a container: user_namespaces(7), umoci's --uid-map.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first one in the container.
    pub container: u32,
    /// The host's for that.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// The ids of users and those of groups; a list without a range maps nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Users.
    pub uid: Vec<Range>,
    /// Groups.
    pub gid: Vec<Range>,
}

impl Ids {
    /// A user's id on the other side.
    pub fn user(&self, id: u32, to: To) -> Result<u32> {
        to.find(&self.uid, id, "user")
    }

    /// A group's id on the other side.
    pub fn group(&self, id: u32, to: To) -> Result<u32> {
        to.find(&self.gid, id, "group")
    }

    /// An owner's ids on the other side.
    pub fn owner(&self, (uid, gid): (u32, u32), to: To) -> Result<(u32, u32)> {
        Ok((self.user(uid, to)?, self.group(gid, to)?))
    }

    /// The same as text, for another process.
    pub(crate) fn to_text(&self) -> String {
        let list = |list: &[Range]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("{}/{}", list(&self.uid), list(&self.gid))
    }

    /// The text's maps.
    pub(crate) fn of_text(text: &str) -> Result<Self> {
        let (uid, gid) = text.split_once('/').ok_or_else(|| Error::invalid("is no map of ids"))?;
        let list = |text: &str| text.split(',').map(str::parse::<Range>).collect::<Result<Vec<_>>>();
        Ok(Self { uid: list(uid)?, gid: list(gid)? })
    }
}

/// Which side's ids are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The host's, for those of an image.
    Host,
    /// The image's, for those of the host.
    Container,
}

impl To {
    fn find(self, list: &[Range], id: u32, what: &str) -> Result<u32> {
        let found = list.iter().find_map(|range| match self {
            Self::Host => within(id, range.container, range.size, range.host),
            Self::Container => within(id, range.host, range.size, range.container),
        });
        let side = if self == Self::Host { "" } else { "the host's " };
        found.ok_or_else(|| Error::invalid(format!("{side}{what} {id} is not in the map of ids")))
    }
}

fn within(id: u32, from: u32, size: u32, to: u32) -> Option<u32> {
    id.checked_sub(from).filter(|offset| *offset < size).map(|offset| to + offset)
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("{s:?} is not CONTAINER:HOST:SIZE"));
        let mut numbers = s.split(':').map(|n| n.parse::<u32>().map_err(|_| bad()));
        let (container, host) = (numbers.next().ok_or_else(bad)??, numbers.next().ok_or_else(bad)??);
        let size = numbers.next().unwrap_or(Ok(1))?;
        let fits = |first: u32| first.checked_add(size).is_some();
        match numbers.next().is_none() && size > 0 && fits(container) && fits(host) {
            true => Ok(Self { container, host, size }),
            false => Err(bad()),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.container, self.host, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_there_and_back_and_what_has_no_place_is_told() {
        let ids = Ids::of_text("0:1000:1,1:100000:10/0:5:20").unwrap();
        assert_eq!(Ids::of_text(&ids.to_text()).unwrap(), ids);
        for (inside, outside) in [((0, 0), (1000, 5)), ((1, 19), (100_000, 24)), ((10, 3), (100_009, 8))] {
            assert_eq!(ids.owner(inside, To::Host).unwrap(), outside);
            assert_eq!(ids.owner(outside, To::Container).unwrap(), inside);
        }
        assert_eq!(ids.owner((11, 0), To::Host).unwrap_err().to_string(), "user 11 is not in the map of ids");
        let e = ids.owner((1000, 99), To::Container).unwrap_err();
        assert_eq!(e.to_string(), "the host's group 99 is not in the map of ids");
        for bad in ["", "0", "0:1:0", "a:1:2", "0:1:2:3", "4294967295:0:2"] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }
}
