//! What mutants do to a configuration.

use serde_json::Value;

use crate::bundle;

pub(super) fn put(config: &mut Value, pointer: &str, value: Value) {
    // where the pointer leads nowhere this mutant does nothing wrong, and its case says so
    bundle::set(config, pointer, value).ok();
}

fn list<'a>(config: &'a mut Value, pointer: &str) -> Option<&'a mut Vec<Value>> {
    config.pointer_mut(pointer).and_then(Value::as_array_mut)
}

pub(super) fn pop(config: &mut Value, pointer: &str) {
    if let Some(list) = list(config, pointer) {
        list.pop();
    }
}

pub(super) fn reverse(config: &mut Value, pointer: &str) {
    reverse_tail(config, pointer, 0);
}

/// Turns around what stands behind the first `keep` entries.
pub(super) fn reverse_tail(config: &mut Value, pointer: &str, keep: usize) {
    if let Some(tail) = list(config, pointer).and_then(|list| list.get_mut(keep..)) {
        tail.reverse();
    }
}

pub(super) fn rename(config: &mut Value, parent: &str, from: &str, to: &str) {
    if let Some(map) = config.pointer_mut(parent).and_then(Value::as_object_mut)
        && let Some(value) = map.remove(from)
    {
        map.insert(to.to_owned(), value);
    }
}

pub(super) fn without_namespace(config: &mut Value, kind: &str) {
    if let Some(list) = list(config, "/linux/namespaces") {
        list.retain(|entry| entry["type"] != kind);
    }
}

pub(super) fn forget_namespace_paths(config: &mut Value) {
    for entry in list(config, "/linux/namespaces").into_iter().flatten() {
        bundle::remove_member(entry, "path");
    }
}
