//! Reading the configuration: which files, in which order, and the way from their text to
//! [`Config`]. Other rooms that read files: `variables` (secrets), `check` (body templates and
//! certificates), `contents` (what `--watch` compares).

use super::check;
use super::decode::{Pruned, decode};
use super::defaults::{apply_defaults, drop_private_keys};
use super::edit;
use super::keys::ConfigKeys;
use super::layers::Layers;
use super::place::problem_at;
use super::problem::{Problem, Problems, reason};
use super::report::Report;
use super::tree::{self, Entry, Format, KeyPath, Node, Origin, Position, Value};
use super::variables::Variables;
use super::{Config, digest};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A larger file is no configuration.
pub(super) const MAX_FILE_BYTES: u64 = 4 << 20;

/// What a configuration is read from. Nothing else is looked at: no global state.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// Files and folders, later ones over earlier ones; empty looks in the usual places.
    pub files: Vec<PathBuf>,
    /// Edits `PATH=VALUE`, over everything else.
    pub set: Vec<String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Accept variables that are not set.
    pub no_env: bool,
    /// What relative paths count from that no file names; absolute.
    pub working_dir: PathBuf,
}

impl fmt::Debug for LoadOptions {
    /// Without the environment and the edits' values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What may be meant otherwise.
    pub warnings: Vec<Problem>,
    /// The files it was read from, body templates included.
    pub files: Vec<PathBuf>,
    /// 16 hexadecimal digits that change with every effective key. Values of variables are not
    /// part of it: they may be secrets, and a short one could be guessed from it.
    pub hash: String,
    /// Where the URL of each export's webhook stands, by the export's name, as a problem without a
    /// message.
    pub urls: BTreeMap<String, Problem>,
}

/// What can be told of an export where the configuration may be wrong elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedExport {
    /// Its name.
    pub name: String,
    /// Names it had before.
    pub former_names: Vec<String>,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// Reads, layers and checks a configuration.
///
/// # Errors
/// Returns every problem at once, in the order of the files; the warnings too.
pub fn load(options: &LoadOptions) -> Result<Loaded, Problems> {
    load_noting(options).0
}

/// As [`load`], and every file and folder that was asked, whether it could be read or not: those of
/// [`Loaded::files`] and of `${file:…}`.
pub fn load_noting(options: &LoadOptions) -> (Result<Loaded, Problems>, Vec<PathBuf>) {
    let mut problems = Vec::new();
    let read = read_layers(options, &mut problems);
    let mut noted = read.folders.clone();
    let loaded = check_layers(read, problems, options, &mut noted);
    (loaded, noted)
}

/// Checks a text of YAML as the only file of a configuration, called `label` in problems.
///
/// # Errors
/// Returns every problem at once; the warnings too.
pub fn load_text(label: &str, text: &str, options: &LoadOptions) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let mut layers = Layers::default();
    layers.add(default_source(options), default_tree(options));
    let path = options.working_dir.join(label);
    let origin = Origin::file(label.to_owned(), &path, text.into());
    if let Some(tree) = tree::read(Format::Yaml, text, &origin, &mut problems) {
        layers.add(Arc::new(origin), tree);
    }
    let whole = problems.is_empty();
    let read = Read { layers, files: Vec::new(), folders: Vec::new(), whole };
    check_layers(read, problems, options, &mut Vec::new())
}

fn check_layers(
    read: Read,
    mut problems: Vec<Problem>,
    options: &LoadOptions,
    noted: &mut Vec<PathBuf>,
) -> Result<Loaded, Problems> {
    let Read { layers, mut files, whole, .. } = read;
    noted.extend(files.iter().cloned());
    let origins = layers.labels();
    let variables = Variables::new(&options.environment, options.no_env);
    // Without all of its files the rest would be about keys that stand in the missing one.
    if !whole {
        return Err(finish(problems, Vec::new(), &origins, variables));
    }
    let mut root = layers.tree();
    drop_private_keys(&mut root);
    variables.fill_tree(&mut root, &mut problems);
    apply_defaults(&mut root);
    let hash = digest::of(&root);
    let mut pruned = Pruned::default();
    let keys: Option<ConfigKeys> = decode(&mut root, &mut pruned, &mut problems);
    let report = Report {
        root: &root,
        pruned: &pruned,
        variables: &variables,
        working_dir: &options.working_dir,
        problems: RefCell::new(problems),
        warnings: RefCell::default(),
        files: RefCell::default(),
        messages: RefCell::default(),
    };
    let config = keys.map(|keys| check::config(&keys, &report));
    check::environment(&options.environment, &report);
    let beside = report.files.take();
    noted.extend(beside.iter().cloned().chain(variables.files()));
    files.extend(beside);
    let (problems, warnings) = (report.problems.take(), report.warnings.take());
    let urls = urls(&root);
    let problems = finish(problems, warnings, &origins, variables);
    match config {
        Some(config) if problems.problems.is_empty() => {
            Ok(Loaded { config, warnings: problems.warnings, files, hash, urls })
        }
        _ => Err(problems),
    }
}

/// Finds only `data_dir`, for commands that need nothing else: no other variable is resolved, and
/// what is wrong elsewhere does not matter. Without a configuration it is the default.
///
/// # Errors
/// When a file cannot be read at all, or `data_dir` itself is wrong.
pub fn load_data_dir(options: &LoadOptions) -> Result<PathBuf, Problems> {
    let mut problems = Vec::new();
    let Read { layers, files, whole, .. } = read_layers(options, &mut problems);
    let named = !options.files.is_empty() || named_by_environment(options).is_some();
    if whole || (files.is_empty() && !named) {
        // What is left are edits of other keys, or that there is no configuration.
        problems.clear();
    }
    let origins = layers.labels();
    let variables = Variables::new(&options.environment, options.no_env);
    let mut root = layers.tree();
    let path = KeyPath::default().key("data_dir");
    if let Some(node) = root.find_mut(path.segments()) {
        variables.fill_scalar(node, &path, false, &mut problems);
    }
    let scalar = root.find(&path).and_then(|node| node.as_scalar().map(|scalar| (node, scalar)));
    let data_dir = scalar.map(|(node, scalar)| {
        let base = node.origin.as_ref().map_or(&options.working_dir, |origin| &origin.base);
        base.join(scalar.text())
    });
    match data_dir {
        Some(data_dir) if problems.is_empty() => Ok(data_dir),
        _ => Err(finish(problems, Vec::new(), &origins, variables)),
    }
}

/// Finds only the exports, as far as they can be read: no variable is resolved, and what is wrong
/// does not matter.
pub fn load_exports(options: &LoadOptions) -> Vec<NamedExport> {
    let root = read_layers(options, &mut Vec::new()).layers.tree();
    let text = |node: &Node| node.as_scalar().map(|scalar| scalar.text.clone());
    let export = |export: &Node| {
        let former = export.get("former_names").map_or(&[][..], Node::items);
        Some(NamedExport {
            name: export.get("name").and_then(text)?,
            former_names: former.iter().filter_map(text).collect(),
            enabled: export.get("enabled").and_then(text).is_none_or(|on| on != "false"),
        })
    };
    let exports = root.get("exports").map_or(&[][..], Node::items);
    exports.iter().filter_map(export).collect()
}

/// See [`Loaded::urls`].
fn urls(root: &Node) -> BTreeMap<String, Problem> {
    let exports = root.get("exports").map_or(&[][..], Node::items);
    let url = |(index, export): (usize, &Node)| {
        let name = export.get("name")?.as_scalar()?.text().to_owned();
        let path = KeyPath::default().key("exports").index(index).key("webhook").key("url");
        root.find(&path)?;
        Some((name, problem_at(root, &path, String::new(), None)))
    };
    exports.iter().enumerate().filter_map(url).collect()
}

fn finish(
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    origins: &[String],
    variables: Variables<'_>,
) -> Problems {
    let mut problems = Problems { problems, warnings };
    problems.finish(origins, &variables.into_secrets());
    problems
}

/// What was read.
struct Read {
    layers: Layers,
    files: Vec<PathBuf>,
    /// Folders that were named.
    folders: Vec<PathBuf>,
    /// Whether every file was found and read.
    whole: bool,
}

/// All layers: defaults, files, the environment, `--set`.
fn read_layers(options: &LoadOptions, problems: &mut Vec<Problem>) -> Read {
    let mut layers = Layers::default();
    layers.add(default_source(options), default_tree(options));
    let (found, folders) = find_files(options, problems);
    let mut files = Vec::new();
    for file in found {
        if let Some((origin, tree)) = read_file(&file, options, problems) {
            layers.add(origin, tree);
        }
        files.push(options.working_dir.join(file));
    }
    let whole = problems.is_empty();
    for (name, value) in &options.environment {
        if let Some(path) = name.strip_prefix("POSTRIDER__") {
            let origin = Origin::outside(name.clone(), &options.working_dir);
            let segments = path.split("__").map(str::to_owned).collect();
            let edit = edit::Edit { segments, value, from_environment: true };
            lay_edit(&mut layers, edit, origin, problems);
        }
    }
    for set in &options.set {
        let Some((path, value)) = set.split_once('=') else {
            // What stands there may be a value, so it is not shown.
            let origin = Origin::outside("--set", &options.working_dir);
            let fix = Some("write `--set PATH=VALUE`".to_owned());
            problems.push(Problem::new(&origin, Position::default(), "", "no `=` in it", fix));
            continue;
        };
        let origin = Origin::outside(format!("--set {path}"), &options.working_dir);
        let segments = path.split('.').map(str::to_owned).collect();
        let edit = edit::Edit { segments, value, from_environment: false };
        lay_edit(&mut layers, edit, origin, problems);
    }
    Read { layers, files, folders, whole }
}

fn lay_edit(
    layers: &mut Layers,
    edit: edit::Edit<'_>,
    origin: Origin,
    problems: &mut Vec<Problem>,
) {
    match edit.layer(layers) {
        Ok(tree) => layers.add(Arc::new(origin), tree),
        Err(edit::Mistake { message, fix }) => {
            problems.push(Problem::new(&origin, Position::default(), "", message, fix));
        }
    }
}

fn state_directory(options: &LoadOptions) -> Option<&str> {
    let list = options.environment.get("STATE_DIRECTORY")?;
    // systemd separates several by colons.
    list.split(':').next().filter(|path| !path.is_empty())
}

fn default_source(options: &LoadOptions) -> Arc<Origin> {
    let label = state_directory(options).map_or("default", |_| "STATE_DIRECTORY");
    Arc::new(Origin::outside(label, &options.working_dir))
}

/// The lowest layer: the one default that hangs on the environment.
fn default_tree(options: &LoadOptions) -> Node {
    let path = state_directory(options).unwrap_or("./postrider-data");
    // A directory's name may hold `${`, which is no variable then.
    let node = Node::scalar(tree::Kind::Text, path.replace("${", "$${"), Position::default());
    let entry = Entry { key: "data_dir".into(), position: Position::default(), node };
    Node::new(Value::Map(vec![entry]), Position::default())
}

/// The file that `POSTRIDER_CONFIG` names, unless it is empty.
fn named_by_environment(options: &LoadOptions) -> Option<&str> {
    let named = options.environment.get("POSTRIDER_CONFIG");
    named.map(String::as_str).filter(|named| !named.is_empty())
}

/// The files that make the configuration, in their order, as they were named; and the folders that
/// some of them were found in.
fn find_files(options: &LoadOptions, problems: &mut Vec<Problem>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut named = options.files.clone();
    if named.is_empty() {
        named.extend(named_by_environment(options).map(PathBuf::from));
    }
    if named.is_empty() {
        let usual = ["postrider.yaml", "/etc/postrider/postrider.yaml"].map(PathBuf::from);
        named.extend(usual.into_iter().find(|path| options.working_dir.join(path).exists()));
    }
    if named.is_empty() {
        problems.push(Problem::general(
            "no configuration: there is neither ./postrider.yaml nor /etc/postrider/postrider.yaml",
            "name one with `-c FILE`, or write ./postrider.yaml",
        ));
    }
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for path in named {
        let full = options.working_dir.join(&path);
        if !full.is_dir() {
            files.push(path);
            continue;
        }
        folders.push(full.clone());
        match files_of(&path, &full) {
            Ok(found) => files.extend(found),
            Err(reason) => problems.push(Problem::general(
                format!("{} cannot be used: {reason}", path.display()),
                "name a folder with *.yaml files, or a file",
            )),
        }
    }
    (files, folders)
}

/// The `*.yaml` of a folder, in order of name.
pub(super) fn files_of(path: &Path, full: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(full).map_err(|error| reason(&error))? {
        let name = entry.map_err(|error| reason(&error))?.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if !hidden && Path::new(&name).extension().is_some_and(|ending| ending == "yaml") {
            files.push(path.join(name));
        }
    }
    if files.is_empty() {
        return Err("it holds no *.yaml".to_owned());
    }
    files.sort();
    Ok(files)
}

fn read_file(
    path: &Path,
    options: &LoadOptions,
    problems: &mut Vec<Problem>,
) -> Option<(Arc<Origin>, Node)> {
    let label = path.strip_prefix("./").unwrap_or(path).display().to_string();
    let full = options.working_dir.join(path);
    let mut cannot = |reason: String, fix: &str| {
        let origin = Origin::outside(label.clone(), &options.working_dir);
        let fix = Some(fix.to_owned());
        problems.push(Problem::new(&origin, Position::default(), "", reason, fix));
    };
    let text = match read_text(&full) {
        Ok(text) => text,
        Err(reason) => {
            cannot(format!("cannot be read: {reason}"), "name a file that can be read");
            return None;
        }
    };
    let format = match full.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Format::Toml,
        Some("json") => Format::Json,
        _ => Format::Yaml,
    };
    let origin = Origin::file(label, &full, text.clone().into());
    let tree = tree::read(format, &text, &origin, problems)?;
    Some((Arc::new(origin), tree))
}

/// The text of a file of the configuration.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| reason(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    // A device has no size and no end.
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
