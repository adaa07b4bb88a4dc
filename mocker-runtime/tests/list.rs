//! `list`.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::{Bundle, Caller};

fn running(caller: Caller) -> Bundle {
    let bundle = caller.bundle(&["sleep", "1000"]);
    bundle.start();
    bundle
}

#[test]
fn list_shows_every_container_of_its_root() {
    for caller in Caller::all("list_shows_every_container_of_its_root") {
        let bundle = running(caller);
        let other = format!("{}-b", bundle.id);
        bundle.call_detached(&["create", &other]).ok();
        assert_eq!(bundle.call(&["list", "--quiet"]).ok(), format!("{}\n{other}\n", bundle.id));
        let list: Vec<serde_json::Value> =
            serde_json::from_str(&bundle.call(&["list", "--format", "json"]).ok()).unwrap();
        let seen: Vec<&str> = list.iter().map(|state| state["status"].as_str().unwrap()).collect();
        assert_eq!(seen, ["running", "created"]);
        let table = bundle.call(&["list"]).ok();
        assert!(table.starts_with("ID ") && table.contains(&other), "{table}");
        bundle.call(&["delete", "--force", &other]).ok();
        assert_eq!(bundle.call(&["list", "-f", "json"]).ok().matches("\"id\"").count(), 1);
    }
}
