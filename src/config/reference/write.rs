//! Writes the schema and the page of the keys from the keys themselves.

use super::super::keys::ConfigKeys;
use super::{JSON_SCHEMA, MARKDOWN};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::fmt::Write;

#[test]
fn the_committed_pages_are_of_these_keys() {
    let pages = [
        ("configuration.schema.json", JSON_SCHEMA, json_schema()),
        ("configuration.md", MARKDOWN, markdown()),
    ];
    for (name, committed, text) in &pages {
        if std::env::var_os("POSTRIDER_WRITE_DOCS").is_some() {
            let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, text).unwrap();
        } else {
            assert!(
                committed == text,
                "docs/{name} is not what its keys say; write it anew with\n  \
                 POSTRIDER_WRITE_DOCS=1 cargo test --lib reference"
            );
        }
    }
}

#[test]
fn every_key_is_described() {
    fn check(path: &str, schema: &Value) {
        let Some((_, properties)) = object(schema) else { return };
        for (key, property) in properties {
            let path = format!("{path}.{key}");
            assert!(property.get("description").is_some(), "{path} has no doc comment");
            assert!(!kind(property).is_empty(), "{path} has no kind");
            let written = match property.get("default") {
                Some(Value::String(text)) => format!("`{text}`"),
                Some(Value::Bool(value)) => format!("`{value}`"),
                Some(Value::Number(number)) => number.to_string(),
                _ => described(property).1,
            };
            assert_eq!(described(property).1, written, "the default of {path}");
            check(&path, property.get("items").unwrap_or(property));
        }
    }
    check("", &inlined());
}

#[test]
fn what_postrider_takes_no_editor_refuses() {
    let variable = json!({ "$ref": "#/$defs/Variable" });
    let texts = json!({ "type": ["string", "number", "boolean"] });
    for (derived, written) in [
        (json!({ "type": "string" }), texts.clone()),
        (
            json!({ "type": "array", "items": { "type": "string" }, "default": { "type": "string" } }),
            json!({ "type": "array", "items": texts, "default": { "type": "string" } }),
        ),
        (
            json!({ "type": "boolean", "description": "d" }),
            json!({ "anyOf": [{ "type": "boolean" }, variable], "description": "d" }),
        ),
        (
            json!({ "type": "string", "enum": ["a"] }),
            json!({ "anyOf": [{ "type": "string", "enum": ["a"] }, variable] }),
        ),
        (
            json!({ "oneOf": [{ "type": "string", "const": "a" }] }),
            json!({ "oneOf": [{ "type": "string", "const": "a" }, variable] }),
        ),
        (json!({ "type": ["string", "integer"] }), json!({ "type": ["string", "integer"] })),
    ] {
        let mut schema = derived.clone();
        as_written(&mut schema);
        assert_eq!(schema, written, "{derived}");
    }
}

/// The JSON Schema of a configuration, draft 2020-12.
fn json_schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ConfigKeys>().to_value();
    schema["title"] = "postrider configuration".into();
    schema["patternProperties"] = json!({ "^x-": {} });
    as_written(&mut schema);
    schema["$defs"]["Variable"] = json!({
        "description": "Anything in which a variable stands, such as `${NAME}`.",
        "pattern": r"\$\{",
        "type": "string",
    });
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Makes a schema take what postrider takes: a variable where a word is asked for, or `true` or
/// `false`; and a number, `true` or `false` where a text is.
fn as_written(schema: &mut Value) {
    let keys = match schema {
        Value::Array(schemas) => return schemas.iter_mut().for_each(as_written),
        Value::Object(keys) => keys,
        _ => return,
    };
    // What a default holds is no schema.
    keys.iter_mut().filter(|(key, _)| *key != "default").for_each(|(_, value)| as_written(value));
    let variable = json!({ "$ref": "#/$defs/Variable" });
    let kinds = keys.get("type").map(Value::to_string).unwrap_or_default();
    let words = keys.remove("enum");
    if words.is_some() || kinds.contains("boolean") {
        let mut only = json!({ "type": keys.remove("type") });
        if let Some(words) = words {
            only["enum"] = words;
        }
        keys.insert("anyOf".into(), json!([only, variable]));
    } else if let Some(Value::Array(words)) = keys.get_mut("oneOf") {
        words.push(variable);
    } else if kinds == r#""string""# && !keys.contains_key("const") {
        keys.insert("type".into(), json!(["string", "number", "boolean"]));
    } else if kinds == r#"["string","null"]"# {
        keys.insert("type".into(), json!(["string", "number", "boolean", "null"]));
    }
}

/// The reference page of a configuration, in Markdown.
fn markdown() -> String {
    let schema = inlined();
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Written by `POSTRIDER_WRITE_DOCS=1 cargo test --lib reference` from the comments in \
         src/config/keys. -->\n\n\
         YAML, or TOML and JSON by the file's ending. A time is written `500ms`, `5s`, `1m`, \
         `1h`, `30d` or as a number of seconds; a size `64KB`, `1MB`, `1MiB` or as a number of \
         bytes. In any value `${NAME}`, `${NAME:-default}` and `${file:/path}` stand for what they \
         name, `$${` for a literal `${`. Relative paths count from the file that names them.\n",
    );
    section(&mut page, "", &schema);
    page
}

/// The schema with every part where it is used.
fn inlined() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<ConfigKeys>().to_value()
}

/// The variant of a schema that has keys.
fn object(schema: &Value) -> Option<(&Value, &Map<String, Value>)> {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        return Some((schema, properties));
    }
    let variants = schema.get("anyOf").or(schema.get("oneOf"))?.as_array()?;
    variants.iter().find_map(object)
}

/// One table of the keys of an object, then those inside it.
fn section(page: &mut String, path: &str, schema: &Value) {
    let Some((inner, properties)) = object(schema) else { return };
    let title = if path.is_empty() { "Top level" } else { path };
    let code = if path.is_empty() { "" } else { "`" };
    let _ = write!(page, "\n## {code}{title}{code}\n\n");
    let about = schema.get("description").or(inner.get("description"));
    if let Some(text) = about.and_then(Value::as_str) {
        let text = one_line(text);
        let _ = write!(page, "{}\n\n", text.split(" Default: ").next().unwrap_or_default());
    }
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let (meaning, default) = described(property);
        let meaning = meaning.replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {} | {default} | {meaning} |", kind(property));
    }
    for (key, property) in properties {
        // What `defaults` may hold stands under `exports`.
        if path.is_empty() && key == "defaults" {
            continue;
        }
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match property.get("items") {
            Some(items) => section(page, &format!("{path}[]"), items),
            None => section(page, &path, property),
        }
    }
}

/// What a key means and what its default is; the doc comments end with the one after "Default:".
fn described(property: &Value) -> (String, String) {
    let text = one_line(property.get("description").and_then(Value::as_str).unwrap_or_default());
    match text.split_once(" Default: ") {
        Some((meaning, default)) => {
            (meaning.to_owned(), default.strip_suffix('.').unwrap_or(default).to_owned())
        }
        None => (text, String::new()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a value is, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(kind) = schema.get("x-type").and_then(Value::as_str) {
        return kind.to_owned();
    }
    let words = words(schema);
    if !words.is_empty() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", plural(&kind(items)));
    }
    if object(schema).is_some() {
        return "map".to_owned();
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return format!("map of {}", plural(&kind(values)));
    }
    let types = schema.get("type").map(|kind| match kind {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect::<Vec<_>>(),
    });
    let Some(types) = types else {
        let variants = schema.get("anyOf").and_then(Value::as_array);
        let known = variants.into_iter().flatten().find(|variant| variant["type"] != "null");
        return known.map(kind).unwrap_or_default();
    };
    let word = |name: &&str| match *name {
        "string" => "text",
        "boolean" => "`true` or `false`",
        "integer" | "number" => "number",
        _ => "",
    };
    types.iter().map(word).find(|word| !word.is_empty()).unwrap_or_default().to_owned()
}

fn plural(kind: &str) -> String {
    match kind {
        "text" => "texts".to_owned(),
        "map" => "maps".to_owned(),
        kind if kind.starts_with(['`', 'l', 'm']) || kind.contains(' ') => kind.to_owned(),
        "duration" | "size" | "number" | "template" => format!("{kind}s"),
        "status" => "statuses".to_owned(),
        kind => kind.to_owned(),
    }
}

/// The words of an enum.
fn words(schema: &Value) -> Vec<&str> {
    let list = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let variants = ["oneOf", "anyOf"].into_iter().filter_map(|of| schema.get(of)?.as_array());
    let word = schema.get("const").and_then(Value::as_str);
    let inner = variants.flatten().flat_map(words);
    list.filter_map(Value::as_str).chain(word).chain(inner).collect()
}
