//! Templates that are JSON when values stand in the places of their expressions, events to render
//! them for, and what must come out: the material of `laws`.

use crate::event::json::{Json, Kind};
use crate::template::output::json_of;
use minijinja::value::Value;
use proptest::prelude::*;

/// JSON with its numbers as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn read(json: Json<'_>) -> Tree {
        match json.kind() {
            Kind::Null => Tree::Null,
            Kind::Bool => Tree::Bool(json.text() == "true"),
            Kind::Number => Tree::Number(json.text().to_owned()),
            Kind::String => Tree::Text(json.as_str().unwrap().into_owned()),
            Kind::Array => Tree::Array(json.items().map(Tree::read).collect()),
            Kind::Object => Tree::Object(
                json.entries().map(|(key, value)| (key.into_owned(), Tree::read(value))).collect(),
            ),
        }
    }

    pub(super) fn written(&self) -> String {
        let quoted = |text: &String| serde_json::to_string(text).unwrap();
        match self {
            Tree::Null => "null".to_owned(),
            Tree::Bool(value) => value.to_string(),
            Tree::Number(digits) => digits.clone(),
            Tree::Text(text) => quoted(text),
            Tree::Array(items) => {
                format!("[{}]", items.iter().map(Tree::written).collect::<Vec<_>>().join(" ,"))
            }
            Tree::Object(fields) => {
                let field =
                    |(key, value): &(_, Tree)| format!("{}: {}", quoted(key), value.written());
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
            }
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "loop"];

fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "\"",
        "\\",
        "\\\"",
        "\",\"x\":\"",
        "{{ a }}",
        "{% if",
        "${KEY}",
        "\u{2028}\u{2029}",
        "\u{0}\u{1f}\n\r\t\u{8}",
        "😀\u{10ffff}",
        "é</script>",
        "\u{1}% endif %\u{1}",
        "null",
        "1e5",
        "]}",
        "\\u0022",
        "\\ud83d",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

pub(super) fn any_tree() -> impl Strategy<Value = Tree> {
    let digits = prop::sample::select(vec![
        "-9223372036854775808",
        "9223372036854775807",
        "170141183460469231731687303715884105727",
        "-170141183460469231731687303715884105728",
        "0",
        "-0",
        "7",
        "1.10",
        "1e400",
        "-2.5E-3",
        "18446744073709551616",
        "1.0",
        "0.1",
        "123456789012345678901234567890123456789012",
    ]);
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        digits.prop_map(|digits| Tree::Number(digits.to_owned())),
        hostile().prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            // Few names, so that they repeat and templates find them.
            prop::collection::vec((key(), inner), 0..5).prop_map(Tree::Object),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => hostile()]
}

pub(super) fn any_event() -> impl Strategy<Value = String> {
    prop::collection::vec((key(), any_tree()), 0..6)
        .prop_map(|fields| Tree::Object(fields).written())
}

/// What stands between two braces: a path into the event, and what is done to its value.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    path: Vec<Step>,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Name(&'static str),
    Index(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    Nothing,
    Json,
    Raw,
    Default,
    Choice,
    Shout,
}

impl Expr {
    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Name(name) if text.is_empty() => text.push_str(name),
                Step::Name(name) => text.push_str(&format!(".{name}")),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        match self.then {
            Then::Nothing => text,
            Then::Json => format!("{text} | json"),
            Then::Raw => format!("{text} | raw"),
            Then::Default => format!("{text} | default('d\"')"),
            Then::Choice => format!("({text} if {text} == {text} and not {text} < none else 'no')"),
            Then::Shout => format!("({text} ~ '\"!')"),
        }
    }

    /// What the path leads to, by looking into the event's text, and how that prints as text.
    fn found(&self, root: Json<'_>) -> (Tree, String) {
        let mut json = root;
        for (at, step) in self.path.iter().enumerate() {
            let next = match step {
                Step::Name(name) => json.get(name),
                Step::Index(index) => match json.as_str() {
                    // Jinja counts the letters of a string.
                    Some(text) => {
                        let whole =
                            self.path[at + 1..].iter().all(|step| matches!(step, Step::Index(0)));
                        let letter = text.chars().nth(*index).filter(|_| whole);
                        let letter = letter.map(String::from);
                        return letter.map_or((Tree::Null, String::new()), |letter| {
                            (Tree::Text(letter.clone()), letter)
                        });
                    }
                    None => json.index(*index),
                },
            };
            match next {
                Some(next) => json = next,
                None => return (Tree::Null, String::new()),
            }
        }
        let value = Tree::read(json);
        let text = match &value {
            Tree::Null => String::new(),
            Tree::Text(text) => text.clone(),
            _ => json.text().to_owned(),
        };
        (value, text)
    }

    /// What it means.
    fn value(&self, root: Json<'_>) -> Tree {
        match (self.then, self.found(root)) {
            (Then::Default, (Tree::Null, _)) => Tree::Text("d\"".to_owned()),
            (Then::Shout, (_, text)) => Tree::Text(text + "\"!"),
            (_, (value, _)) => value,
        }
    }

    /// What it prints inside of a string.
    fn text(&self, root: Json<'_>) -> String {
        match (self.then, self.found(root), self.value(root)) {
            // JSON text is text in a string.
            (Then::Json, (Tree::Null, _), _) => "null".to_owned(),
            (Then::Json, (Tree::Text(text), _), _) => minimal(&text),
            (Then::Default | Then::Shout, _, Tree::Text(text)) => text,
            (_, (_, text), _) => text,
        }
    }
}

/// A JSON string that escapes what must be escaped, the way the writer does.
fn minimal(text: &str) -> String {
    json_of(&Value::from(text)).unwrap()
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let step = prop_oneof![
        3 => prop::sample::select(&NAMES[..3]).prop_map(Step::Name),
        1 => (0..3_usize).prop_map(Step::Index),
    ];
    let then = prop::sample::select(vec![
        Then::Nothing,
        Then::Nothing,
        Then::Nothing,
        Then::Json,
        Then::Raw,
        Then::Default,
        Then::Choice,
        Then::Shout,
    ]);
    (prop::sample::select(&NAMES[..]), prop::collection::vec(step, 0..3), then).prop_map(
        |(name, steps, then)| Expr {
            path: std::iter::once(Step::Name(name)).chain(steps).collect(),
            then,
        },
    )
}

/// A template that is JSON.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Fixed(Tree),
    Value(Expr),
    Text(Vec<Part>),
    Array(Vec<Shape>),
    Object(Vec<(Vec<Part>, Shape)>),
    If(Expr, Box<Shape>, Box<Shape>),
    /// The elements of what an expression gives, each as itself and in a string.
    Loop(Vec<Expr>),
    /// A captured text, as itself and in a string.
    Set(Vec<Part>),
    Macro(Expr),
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Fixed(String),
    Value(Expr),
    Variable,
    /// A filter over a part of the string.
    Trimmed(Expr),
}

impl Part {
    fn written(parts: &[Part], in_json: bool) -> String {
        let part = |part: &Part| match part {
            Part::Fixed(text) if in_json => {
                let quoted = minimal(text);
                quoted[1..quoted.len() - 1].to_owned()
            }
            Part::Fixed(text) => text.clone(),
            Part::Value(expr) => format!("{{{{ {} }}}}", expr.written()),
            Part::Variable => "${KEY}".to_owned(),
            Part::Trimmed(expr) => {
                format!(
                    "{{% filter replace('\"', '') %}}{{{{ {} }}}}{{% endfilter %}}",
                    expr.written()
                )
            }
        };
        parts.iter().map(part).collect()
    }

    fn text(parts: &[Part], root: Json<'_>) -> String {
        let part = |part: &Part| match part {
            Part::Fixed(text) => text.clone(),
            Part::Value(expr) => expr.text(root),
            Part::Variable => "k\"ey".to_owned(),
            Part::Trimmed(expr) => expr.text(root).replace('"', ""),
        };
        parts.iter().map(part).collect()
    }
}

impl Shape {
    pub(super) fn written(&self) -> String {
        match self {
            Shape::Fixed(tree) => tree.written(),
            Shape::Value(expr) => format!("{{{{ {} }}}}", expr.written()),
            Shape::Text(parts) => format!("\"{}\"", Part::written(parts, true)),
            Shape::Array(items) => {
                format!("[{}]", items.iter().map(Shape::written).collect::<Vec<_>>().join(", "))
            }
            Shape::Object(fields) => {
                let field = |(key, value): &(Vec<Part>, Shape)| {
                    format!("\"{}\": {}", Part::written(key, true), value.written())
                };
                format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(",\n"))
            }
            Shape::If(test, yes, no) => format!(
                "{{% if {} %}}{}{{% else %}}{}{{% endif %}}",
                test.written(),
                yes.written(),
                no.written()
            ),
            Shape::Loop(exprs) => {
                let list = exprs.iter().map(Expr::written).collect::<Vec<_>>().join(", ");
                format!(
                    "[{{% for x in [{list}] %}}{{{{ x }}}}, \"{{{{ x }}}}\"{{% if not loop.last %}}, \
                     {{% endif %}}{{% endfor %}}]"
                )
            }
            Shape::Set(parts) => {
                let body = Part::written(parts, false);
                format!("{{% set s %}}{body}{{% endset %}}[{{{{ s }}}}, \"{{{{ s }}}}\"]")
            }
            Shape::Macro(expr) => format!(
                "{{% macro m(v) %}}<{{{{ v }}}}>{{% endmacro %}}[{{{{ m({0}) }}}}, \"{{{{ m({0}) }}}}\"]",
                expr.written()
            ),
        }
    }

    pub(super) fn expected(&self, root: Json<'_>) -> Tree {
        match self {
            Shape::Fixed(tree) => tree.clone(),
            Shape::Value(expr) => expr.value(root),
            Shape::Text(parts) => Tree::Text(Part::text(parts, root)),
            Shape::Array(items) => {
                Tree::Array(items.iter().map(|item| item.expected(root)).collect())
            }
            Shape::Object(fields) => Tree::Object(
                fields
                    .iter()
                    .map(|(key, value)| (Part::text(key, root), value.expected(root)))
                    .collect(),
            ),
            Shape::If(test, yes, no) => {
                let holds = match (test.then, test.value(root)) {
                    (Then::Json, _) => true,
                    (_, Tree::Null | Tree::Bool(false)) => false,
                    (_, Tree::Number(digits)) => digits.parse::<f64>().unwrap() != 0.0,
                    (_, Tree::Text(text)) => !text.is_empty(),
                    (_, Tree::Array(items)) => !items.is_empty(),
                    (_, Tree::Object(fields)) => !fields.is_empty(),
                    (_, Tree::Bool(true)) => true,
                };
                if holds { yes.expected(root) } else { no.expected(root) }
            }
            Shape::Loop(exprs) => Tree::Array(
                exprs
                    .iter()
                    .flat_map(|expr| [expr.value(root), Tree::Text(expr.text(root))])
                    .collect(),
            ),
            Shape::Set(parts) => {
                let text = Tree::Text(Part::text(parts, root));
                Tree::Array(vec![text.clone(), text])
            }
            Shape::Macro(expr) => {
                let text = Tree::Text(format!("<{}>", expr.text(root)));
                Tree::Array(vec![text.clone(), text])
            }
        }
    }
}

/// Text of a template's own: anything that does not begin a tag or a variable.
fn own_text() -> impl Strategy<Value = String> {
    hostile().prop_map(|text| text.replace(['{', '$', '%', '#', '\u{1}'], "~"))
}

fn any_parts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        2 => own_text().prop_map(Part::Fixed),
        3 => any_expr().prop_map(Part::Value),
        1 => Just(Part::Variable),
        1 => any_expr().prop_map(Part::Trimmed),
    ];
    prop::collection::vec(part, 0..4)
}

pub(super) fn any_shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        1 => own_text().prop_map(|text| Shape::Fixed(Tree::Text(text))),
        4 => any_expr().prop_map(Shape::Value),
        4 => any_parts().prop_map(Shape::Text),
        1 => prop::collection::vec(any_expr(), 0..3).prop_map(Shape::Loop),
        1 => any_parts().prop_map(Shape::Set),
        1 => any_expr().prop_map(Shape::Macro),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Shape::Array),
            prop::collection::vec((any_parts(), inner), 0..4).prop_map(Shape::Object),
            (any_expr(), boxed.clone(), boxed).prop_map(|(test, yes, no)| Shape::If(test, yes, no)),
        ]
    })
}
