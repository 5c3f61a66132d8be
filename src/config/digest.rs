//! A fingerprint of the effective configuration, to tell whether two programs run the same.

use super::tree::{Node, Value};
use sha2::{Digest, Sha256};

/// 16 hexadecimal digits over every key and value as written, variables by their names.
pub(super) fn of(root: &Node) -> String {
    let mut hash = Sha256::new();
    add(root, &mut hash);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn add(node: &Node, hash: &mut Sha256) {
    let mut part = |tag: u8, text: &str| {
        hash.update([tag]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    match &node.value {
        Value::Stub => part(0, ""),
        Value::Scalar(scalar) => part(scalar.kind as u8 + 1, &scalar.text),
        Value::List(items) => {
            part(8, &items.len().to_string());
            items.iter().for_each(|item| add(item, hash));
        }
        Value::Map(entries) => {
            part(9, &entries.len().to_string());
            let mut entries: Vec<_> = entries.iter().collect();
            // The order of keys means nothing.
            entries.sort_by_key(|entry| &entry.key);
            for entry in entries {
                hash.update((entry.key.len() as u64).to_le_bytes());
                hash.update(entry.key.as_bytes());
                add(&entry.node, hash);
            }
        }
    }
}
