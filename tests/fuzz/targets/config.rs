//! Any bytes as a configuration, in each format and as an edit: no panic, problems with a place,
//! and no secret in any of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider::config::{LoadOptions, load, load_data_dir};
use std::path::PathBuf;
use std::sync::OnceLock;

const SECRET: &str = "hunter2-s3cret";

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = PathBuf::from("/dev/shm");
        let base = if base.is_dir() { base } else { std::env::temp_dir() };
        let folder = base.join(format!("postrider-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the configuration");
        folder
    })
}

fuzz_target!(|bytes: &[u8]| {
    // The fuzzer learns the secret from comparisons; what says it itself may show it.
    if bytes.windows(7).any(|part| part == b"hunter2" || part == b"-s3cret") {
        return;
    }
    let ending = match bytes.first() {
        Some(b'[') => "toml",
        Some(b'{') => "json",
        _ => "yaml",
    };
    let file = folder().join(format!("postrider.{ending}"));
    std::fs::write(&file, bytes).expect("a configuration");
    let environment = [("KEY", SECRET), ("POSTRIDER__LOG__LEVEL", "debug")];
    let mut options = LoadOptions {
        files: vec![file],
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        working_dir: folder().clone(),
        ..LoadOptions::default()
    };
    let (Ok(hash), _) = (look(&options), load_data_dir(&options)) else { return };
    // The same once more gives the same; the values of secrets change nothing.
    options.environment.insert("KEY".to_owned(), "another".to_owned());
    if let Ok(again) = load(&options) {
        assert_eq!(hash, again.hash);
    }
    if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 100) {
        options.set.push(text.to_owned());
        let _ = look(&options);
    }
});

/// Loads; what is told must hold no secret.
fn look(options: &LoadOptions) -> Result<String, ()> {
    match load(options) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                assert!(!warning.to_string().contains(SECRET), "{warning}");
            }
            Ok(loaded.hash)
        }
        Err(problems) => {
            let text = problems.to_string();
            assert!(!text.is_empty() && !text.contains(SECRET), "{text}");
            Err(())
        }
    }
}
