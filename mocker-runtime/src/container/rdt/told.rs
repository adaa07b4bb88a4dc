//! What `events` tells of a class and a monitoring group: the member `intel_rdt`, as runc has it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Group;

impl Group {
    /// Whatever files the machine has; none, no member.
    pub(crate) fn told(&self) -> Value {
        let mut out = Map::new();
        let root = self.root();
        let own = lines(&self.class.join("schemata"));
        let top = lines(&root.join("schemata"));
        for (kind, line, schema, info, members) in [
            (
                "L3",
                "L3:",
                "l3_cache_schema",
                "l3_cache_info",
                &["cbm_mask", "min_cbm_bits", "num_closids"][..],
            ),
            (
                "MB",
                "MB:",
                "mem_bw_schema",
                "mem_bw_info",
                &["bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids"],
            ),
        ] {
            let dir = root.join("info").join(kind);
            if !dir.is_dir() {
                continue;
            }
            let values =
                members.iter().filter_map(|name| Some(((*name).to_owned(), value(&dir.join(name))?)));
            out.insert(info.to_owned(), Value::Object(values.collect()));
            for (name, from) in [(schema.to_owned(), &own), (format!("{schema}_root"), &top)] {
                out.extend(from.iter().find(|text| text.starts_with(line)).map(|text| (name, json!(text))));
            }
        }
        if !own.is_empty() {
            out.insert("schemata".to_owned(), json!(own));
        }
        for (member, files) in
            [("mbm_stats", &["mbm_total_bytes", "mbm_local_bytes"][..]), ("cmt_stats", &["llc_occupancy"])]
        {
            let found = self.monitored(files);
            if !found.is_empty() {
                out.insert(member.to_owned(), Value::Array(found));
            }
        }
        Value::Object(out)
    }

    /// Where the class's own directory lies; the default class is the root itself.
    fn root(&self) -> &Path {
        match self.class.parent() {
            Some(above) if !self.class.join("info").is_dir() => above,
            _ => &self.class,
        }
    }

    /// One entry for each cache, in the order of their names.
    fn monitored(&self, files: &[&str]) -> Vec<Value> {
        let data = self.monitor.as_ref().unwrap_or(&self.class).join("mon_data");
        let mut caches: Vec<_> =
            std::fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        caches.sort();
        let entry = |dir: &std::path::PathBuf| {
            let values = files.iter().filter_map(|name| Some(((*name).to_owned(), value(&dir.join(name))?)));
            let values: Map<String, Value> = values.collect();
            (!values.is_empty()).then_some(Value::Object(values))
        };
        caches.iter().filter_map(entry).collect()
    }
}

/// Without the blanks with which the kernel lines them up.
fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A number; a mask is none, though it may look like one.
fn value(file: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(file).ok()?.trim().to_owned();
    match text.parse::<u64>() {
        Ok(number) if !file.ends_with("cbm_mask") => Some(json!(number)),
        _ if file.ends_with("cbm_mask") => Some(json!(text)),
        _ => None, // such as "Unavailable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No machine at hand has resctrl: a directory stands in for it.
    #[test]
    fn a_class_is_told_of_as_runc_does() {
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in [
            ("info/L3/cbm_mask", "7ff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("schemata", "    L3:0=7ff\n    MB:0=100\n"),
            ("c1/schemata", "    L3:0=f\n    MB:0=20\n"),
            ("c1/mon_groups/c1/mon_data/mon_L3_00/mbm_total_bytes", "5\n"),
            ("c1/mon_groups/c1/mon_data/mon_L3_00/llc_occupancy", "7\n"),
            ("c1/mon_groups/c1/mon_data/mon_L3_01/mbm_total_bytes", "Unavailable\n"),
            ("c1/mon_groups/c1/mon_data/mon_L3_01/llc_occupancy", "8\n"),
        ] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            std::fs::write(path, text).expect("is written");
        }
        let class = root.path().join("c1");
        let group = Group { monitor: Some(class.join("mon_groups/c1")), class, own: true };
        let want = json!({
            "l3_cache_info": { "cbm_mask": "7ff", "min_cbm_bits": 1, "num_closids": 16 },
            "l3_cache_schema": "L3:0=f", "l3_cache_schema_root": "L3:0=7ff",
            "mem_bw_info": { "bandwidth_gran": 10 },
            "mem_bw_schema": "MB:0=20", "mem_bw_schema_root": "MB:0=100",
            "schemata": ["L3:0=f", "MB:0=20"],
            "mbm_stats": [{ "mbm_total_bytes": 5 }],
            "cmt_stats": [{ "llc_occupancy": 7 }, { "llc_occupancy": 8 }],
        });
        assert_eq!(group.told(), want);
        group.change(&["L3:0=3".to_owned()]).expect("is written");
        assert_eq!(std::fs::read_to_string(root.path().join("c1/schemata")).expect("is read"), "L3:0=3\n");
    }
}
