//! Fingerprints: of the effective configuration, to tell whether two programs run the same; and of
//! its parts, to tell what a reload changes.

use super::Digest as Fingerprint;
use super::tree::{Node, Value};
use sha2::{Digest, Sha256};

/// 16 hexadecimal digits over every key and value as written, variables by their names.
pub(super) fn of(root: &Node) -> String {
    let mut hash = Sha256::new();
    add(root, Variables::ByName, &mut hash);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Changes with everything below a node, the values of variables included, and with `more`. It
/// stays inside the program: a short secret could be guessed from it.
pub(super) fn of_part(node: Option<&Node>, more: &[[u8; 16]]) -> Fingerprint {
    let mut hash = Sha256::new();
    if let Some(node) = node {
        add(node, Variables::ByValue, &mut hash);
    }
    more.iter().for_each(|digest| hash.update(digest));
    let hash: [u8; 32] = hash.finalize().into();
    Fingerprint(std::array::from_fn(|index| hash[index]))
}

/// What stands for a variable.
#[derive(Clone, Copy, PartialEq)]
enum Variables {
    ByName,
    ByValue,
}

fn add(node: &Node, variables: Variables, hash: &mut Sha256) {
    let mut part = |tag: u8, text: &str| {
        hash.update([tag]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    match &node.value {
        Value::Stub => part(0, ""),
        Value::Scalar(scalar) => {
            let filled = scalar.filled.as_ref().filter(|_| variables == Variables::ByValue);
            let text = filled.map_or(&scalar.text, |filled| &filled.text);
            part(scalar.kind as u8 + 1, text);
        }
        Value::List(items) => {
            part(8, &items.len().to_string());
            items.iter().for_each(|item| add(item, variables, hash));
        }
        Value::Map(entries) => {
            part(9, &entries.len().to_string());
            let mut entries: Vec<_> = entries.iter().collect();
            // The order of keys means nothing.
            entries.sort_by_key(|entry| &entry.key);
            for entry in entries {
                hash.update((entry.key.len() as u64).to_le_bytes());
                hash.update(entry.key.as_bytes());
                add(&entry.node, variables, hash);
            }
        }
    }
}
