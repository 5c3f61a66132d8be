//! The house: what stands where, and who may know whom. Read from the files themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest a source file may be, its tests included.
const MAX_LINES: usize = 450;

/// What may stand at the top level, beside dotfiles and licences.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "pipelines",
    "dlq",
    "tests",
    "benches",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "rustfmt.toml",
    "clippy.toml",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its text.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path.strip_prefix(root()).expect("below the root").into(), text));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// The library's modules, bottom-up.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let names = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    names.map(|name| name.trim_end_matches([';', ' ', '{']).to_owned()).collect()
}

/// A file's code, without comments; text in literals stays.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// The module of the library that a file belongs to; none for lib.rs and main.rs.
fn module_of(path: &Path) -> Option<String> {
    let name = path.strip_prefix("src").ok()?.components().next()?.as_os_str().to_str()?;
    let name = name.trim_end_matches(".rs");
    (name != "lib" && name != "main").then(|| name.to_owned())
}

/// The modules of the library that a line of code names behind `crate::`.
fn named(line: &str) -> Vec<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        // Only the first segments of a group: what stands at its own depth.
        let mut depth = 0;
        let mut first = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => names.push(name(std::mem::take(&mut first).trim())),
                c if depth == 0 => first.push(c),
                _ => {}
            }
        }
        names.push(name(first.trim()));
    }
    // What a trailing comma leaves.
    names.retain(|name| !name.is_empty());
    names
}

/// A file's code with each `use` on one line.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in code(text) {
        match lines.last_mut() {
            Some((_, last)) if open => last.push_str(line.trim()),
            _ => lines.push((number, line.trim().to_owned())),
        }
        let last = &lines.last().expect("a line").1;
        let starts = last.starts_with("use ") || last.starts_with("pub use ");
        open = starts && !last.ends_with(';');
    }
    lines
}

fn fail_with(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn a_module_imports_only_from_those_above_it_in_the_list() {
    let modules = modules();
    let mut problems = Vec::new();
    for (path, text) in files("src") {
        let Some(module) = module_of(&path) else { continue };
        let Some(place) = modules.iter().position(|name| *name == module) else {
            problems.push(format!("{}: `{module}` is not in src/lib.rs", path.display()));
            continue;
        };
        for (number, line) in joined(&text) {
            for other in named(&line) {
                let at = format!("{}:{number}", path.display());
                match modules.iter().position(|name| *name == other) {
                    Some(known) if known > place => problems
                        .push(format!("{at}: `{module}` imports upward from `{other}`: {line}")),
                    Some(_) => {}
                    None => problems.push(format!("{at}: no module `{other}`: {line}")),
                }
            }
        }
    }
    fail_with(&problems);
}

#[test]
fn names_behind_crate_are_found() {
    for (line, expected) in [
        ("use crate::event::Event;", &["event"][..]),
        (
            "use crate::{ack::{Ack, AckTracker}, delivery, event::Event};",
            &["ack", "delivery", "event"],
        ),
        ("let x: crate::config::Export = crate::config::load();", &["config", "config"]),
        ("use std::fmt;", &[]),
    ] {
        assert_eq!(named(line), expected, "{line}");
    }
    let split = "use crate::{\n    ack::Ack,\n    route,\n};\nfn f() {}";
    assert_eq!(named(&joined(split)[0].1), ["ack", "route"]);
    assert_eq!(joined(split)[1], (5, "fn f() {}".to_owned()));
}

#[test]
fn nothing_is_unsafe() {
    let word = concat!("un", "safe");
    let mut problems = Vec::new();
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(files) {
        for (number, line) in code(&text) {
            if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word) {
                problems.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    fail_with(&problems);
}

#[test]
fn a_file_is_not_longer_than_can_be_read() {
    let files = ["src", "tests", "benches"].into_iter().flat_map(files);
    let long = files.map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = long
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines, more than {MAX_LINES}", path.display()))
        .collect();
    fail_with(&long);
}

#[test]
fn every_file_opens_with_what_it_is() {
    let files = ["src", "tests"].into_iter().flat_map(files);
    let mute: Vec<_> = files
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{}: the first line is no `//!`", path.display()))
        .collect();
    fail_with(&mute);
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let names: Vec<String> = match listed {
        Ok(listed) if listed.status.success() => String::from_utf8_lossy(&listed.stdout)
            .lines()
            .map(|path| path.split('/').next().unwrap_or_default().to_owned())
            .collect(),
        // Unpacked from an archive: everything is there but what building made.
        _ => fs::read_dir(root())
            .expect("the root")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != "target")
            .collect(),
    };
    assert!(names.iter().any(|name| name == "src"), "{names:?}");
    let belongs = |name: &String| {
        TOP_LEVEL.contains(&&**name) || name.starts_with('.') || name.starts_with("LICENSE-")
    };
    let mut strange: Vec<_> = names.into_iter().filter(|name| !belongs(name)).collect();
    strange.dedup();
    fail_with(&strange);
}
