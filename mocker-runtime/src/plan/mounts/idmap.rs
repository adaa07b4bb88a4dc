//! Mappings as crun's option `idmap=` spells them: `uids=0-1-10#10-11-10;gids=0-100-10`, each triplet the first id
//! in the file system, the first id that it appears as, and how many. After an `@` the second is an id of the
//! container's.

use super::super::ids::{Map, Maps};
use crate::bundle::config::IdMapping;
use crate::error::{Error, Result};

/// Reads both mappings; `container` is what the container's own ids are on the host.
pub(super) fn parse(text: &str, container: Option<&Maps>) -> Result<Maps> {
    let (mut uids, mut gids) = (None, None);
    for part in text.split(';').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("uids", ranges)) => uids = Some(ranges_of(ranges, container.map(|maps| &maps.uids))?),
            Some(("gids", ranges)) => gids = Some(ranges_of(ranges, container.map(|maps| &maps.gids))?),
            _ => return Err(Error::invalid(format!("{part:?} is neither uids=... nor gids=..."))),
        }
    }
    match (uids, gids) {
        (Some(uids), Some(gids)) => Ok(Maps { uids, gids }),
        _ => Err(Error::invalid("uids and gids need each other")),
    }
}

fn ranges_of(text: &str, container: Option<&Map>) -> Result<Map> {
    let (relative, ranges) = match text.strip_prefix('@') {
        Some(ranges) => (true, ranges),
        None => (false, text),
    };
    let range = |range: &str| {
        let bad = || Error::invalid(format!("{range:?} is not first-first-count"));
        let numbers: Vec<u32> = range.split('-').filter_map(|number| number.parse().ok()).collect();
        let [first, host, size] = numbers[..] else { return Err(bad()) };
        if range.split('-').count() != 3 {
            return Err(bad());
        }
        let host_id = match relative {
            false => host,
            true => container
                .and_then(|map| map.on_host(host))
                .ok_or_else(|| Error::invalid(format!("the container has no id {host}")))?,
        };
        Ok(IdMapping { container_id: first, host_id, size })
    };
    ranges.split('#').map(range).collect::<Result<Vec<_>>>().map(|ranges| Map::new(&ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triplets_become_ranges_and_relative_ones_are_the_containers() {
        let maps = parse("uids=0-1-10#10-11-10;gids=0-100-10", None).expect("parses");
        assert_eq!(
            (maps.uids.text().as_str(), maps.gids.text().as_str()),
            ("0 1 10\n10 11 10\n", "0 100 10\n")
        );
        let own = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let map = Map::new(&[own(0, 0, 1), own(1, 2, 1000)]);
        let container = Maps { uids: map.clone(), gids: map };
        let maps = parse("uids=@1-3-10;gids=0-0-1", Some(&container)).expect("parses");
        assert_eq!(maps.uids.text(), "1 4 10\n");
    }

    #[test]
    fn half_a_mapping_and_a_word_that_is_no_number_are_errors() {
        for bad in [
            "uids=0-1-10",
            "uids=0-1;gids=0-1-1",
            "uids=a-b-c;gids=0-1-1",
            "x=0-1-1",
            "uids=@0-1-1;gids=0-1-1",
        ] {
            assert!(parse(bad, None).is_err(), "{bad}");
        }
    }
}
