//! The README's blocks: each configuration is valid, and its session runs as it is printed.

use crate::support::{Place, free_port};
use std::process::Command;

/// The README's blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
        .expect("the README");
    let fence = format!("```{language}\n");
    let blocks = readme.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_configuration_is_valid() {
    let blocks = blocks("yaml");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        Place::new(&block).postrider(&["validate", "--no-env"]).finish().code(0);
    }
}

#[test]
fn the_session_runs_as_it_is_printed() {
    let place = Place::new(&blocks("yaml")[0]);
    let session = blocks("sh")
        .into_iter()
        .find(|block| block.contains("postrider listen"))
        .expect("the session");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_postrider"));
    let folders = [program.parent().expect("its folder").to_owned()];
    let path =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let path = std::env::join_paths(folders.into_iter().chain(path)).expect("a PATH");
    let script =
        format!("set -e\ntrap 'kill $!' EXIT\n{session}").replace("9000", &free_port().to_string());
    // The reader of the session may be slow to type; here the receiver must be up first.
    let script = script.replace(
        "received.txt &\n",
        "received.txt &\nuntil grep -q listening received.txt; do :; done\n",
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .env("PATH", path)
        .output()
        .expect("a shell");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let received = place.read("received.txt");
    assert!(
        received.contains(r#"{"text": "auth_fail by eve", "verdict": null, "event": {"#),
        "{received}{stderr}"
    );
    assert!(received.contains("authorization: Bearer s3cret"), "{received}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn the_demo_accounts_for_every_event() {
    let finished = Place::empty().postrider(&["demo"]).finish().code(0);
    assert!(finished.stdout.contains("every event is accounted for"), "{}", finished.stdout);
}
