//! The bounds of a platform's messages, applied to a rendered body whatever the event holds: texts
//! are cut and say so, lists end with "and N more", and what cannot be made to fit is an error.

use super::data::{LimitRow, PlatformFile};
use super::walk::{Node, element, inner, strings, walk, walk_doubtful};
use crate::event::json::Json;
use crate::template::{cut, thousands, units};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Shorter texts are never cut to make a whole body fit, in bytes: they are its structure.
const SHORT: usize = 64;

/// The bounds of one platform.
#[derive(Debug)]
pub struct Limits {
    /// What is put into an object that has no such key.
    defaults: BTreeMap<String, String>,
    root: Node<Leaf>,
    /// Characters of all texts of a sum together.
    sums: Vec<usize>,
    total: Option<Total>,
}

#[derive(Debug)]
struct Total {
    bytes: usize,
    keep: Vec<String>,
}

/// The bounds of the values at one path.
#[derive(Debug, Default)]
struct Leaf {
    chars: Option<usize>,
    items: Option<usize>,
    more: Option<String>,
    blank: Option<String>,
    hash: bool,
    words: BTreeMap<String, String>,
    sums: Vec<usize>,
    /// The first to go where the whole body is too long.
    leave_out: bool,
    /// The number of the default that stands in for the value.
    default: Option<usize>,
}

/// What of a text is to be replaced: from, to, by what.
type Edit = (usize, usize, String);

impl Limits {
    pub(super) fn of(file: &PlatformFile) -> Option<Limits> {
        if file.limits.is_empty() && file.sums.is_empty() && file.total.is_none() {
            return None;
        }
        let mut root = Node::default();
        for row in &file.limits {
            for path in places(file, &row.at) {
                root.at(&path).leaf = Some(Leaf::of(row));
            }
        }
        for (number, sum) in file.sums.iter().enumerate() {
            for path in sum.of.iter().flat_map(|path| places(file, path)) {
                root.at(&path).leaf.get_or_insert_default().sums.push(number);
            }
        }
        let total = file.total.as_ref();
        if let Some(path) = total.and_then(|total| total.leave_out.as_deref()) {
            root.at(path).leaf.get_or_insert_default().leave_out = true;
        }
        for (number, key) in file.defaults.keys().enumerate() {
            root.at(key).leaf.get_or_insert_default().default = Some(number);
        }
        let sums: Vec<_> = file.sums.iter().map(|sum| sum.chars).collect();
        root.measure(&|leaf: &Leaf| leaf.harmless(&sums));
        let total = total.map(|row| Total { bytes: row.bytes, keep: row.keep.clone() });
        Some(Limits { defaults: file.defaults.clone(), root, sums, total })
    }

    /// The body within all bounds. `body` must be checked JSON.
    ///
    /// # Errors
    /// What is still too long when everything that may be cut is cut.
    pub fn apply<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, String> {
        if self.surely_holds(body) {
            return Ok(Cow::Borrowed(body));
        }
        let mut text = self.completed(body);
        if matches!(text, Cow::Owned(_)) && self.surely_holds(&text) {
            return Ok(text);
        }
        self.edit(&mut text, Leaf::fewer);
        self.edit(&mut text, Leaf::shorter);
        for (number, most) in self.sums.iter().enumerate() {
            self.shorten_sum(&mut text, number, *most);
        }
        if let Some(total) = &self.total {
            self.shorten_all(&mut text, total)?;
        }
        Ok(text)
    }

    /// The body with what it must have.
    fn completed<'b>(&self, body: &'b str) -> Cow<'b, str> {
        let object = Json::of_checked(body.trim());
        let mut text = Cow::Borrowed(body);
        let Some(rest) = object.text().strip_prefix('{') else { return text };
        let missing = self.defaults.iter().filter(|(key, _)| object.get(key).is_none());
        let more: Vec<_> = missing.map(|(key, value)| format!("{}:{value}", json(key))).collect();
        if !more.is_empty() {
            let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
            text = Cow::Owned(format!("{{{}{comma}{rest}", more.join(",")));
        }
        text
    }

    /// Whether nothing is missing and no bound can be exceeded, by a look that is cheap and may say
    /// no in vain: no text is longer than it is written.
    fn surely_holds(&self, body: &str) -> bool {
        if self.total.as_ref().is_some_and(|total| body.len() > total.bytes) {
            return false;
        }
        let mut sums = [0_usize; MAX_SUMS];
        let mut given = [false; MAX_DEFAULTS];
        let mut holds = true;
        walk_doubtful(body, &self.root, &mut |spot| {
            let leaf = spot.leaf;
            holds &= leaf.items.is_none_or(|most| spot.items <= most);
            if let Some(given) = leaf.default.and_then(|number| given.get_mut(number)) {
                *given = true;
            }
            if spot.raw.starts_with('"') {
                let text = inner(spot.raw);
                holds &= leaf.surely_takes(text);
                for sum in &leaf.sums {
                    if let Some(sum) = sums.get_mut(*sum) {
                        *sum += text.len();
                    }
                }
            }
        });
        holds
            && self.sums.iter().zip(sums).all(|(most, sum)| sum <= *most)
            && given.iter().filter(|given| **given).count() == self.defaults.len()
    }

    /// Edits the values that have bounds one by one.
    fn edit(&self, text: &mut Cow<'_, str>, rule: fn(&Leaf, usize, &str) -> Option<Edit>) {
        let mut edits = Vec::new();
        walk(text, &self.root, &mut |spot| edits.extend(rule(spot.leaf, spot.start, spot.raw)));
        apply_edits(text, edits);
    }

    /// Cuts the longest texts of a sum until it holds. What holds a link goes last.
    fn shorten_sum(&self, text: &mut Cow<'_, str>, number: usize, most: usize) {
        let mut texts = Vec::new();
        walk(text, &self.root, &mut |spot| {
            if spot.leaf.sums.contains(&number)
                && let Some(value) = Json::of_checked(spot.raw).as_str()
            {
                texts.push((spot.start, spot.raw.len(), value.into_owned()));
            }
        });
        let linked = |text: &str| text.contains("](http") || text.contains("<http");
        let sum = |links: bool| -> usize {
            let counted = texts.iter().filter(|(.., text)| !links || linked(text));
            counted.map(|(.., text)| units(text)).sum()
        };
        if sum(false) <= most {
            return;
        }
        let pinned = sum(true);
        let pins = pinned <= most / 2;
        let cuttable: Vec<_> = texts.iter().filter(|(.., text)| !(pins && linked(text))).collect();
        let room = if pins { most - pinned } else { most };
        let cap = level(cuttable.iter().map(|(.., text)| units(text)).collect(), room);
        let edits = cuttable.into_iter().filter_map(|(start, length, value)| {
            Some((*start, start + length, json(&cut(value, cap)?)))
        });
        let edits = edits.collect();
        apply_edits(text, edits);
    }

    /// Makes the whole body short enough.
    fn shorten_all(&self, text: &mut Cow<'_, str>, total: &Total) -> Result<(), String> {
        if text.len() > total.bytes {
            self.edit(text, Leaf::left_out);
        }
        if text.len() > total.bytes {
            let mut texts = Vec::new();
            strings(text, &mut |start, raw, key| {
                if raw.len() > SHORT && !total.keep.iter().any(|keep| keep == key) {
                    texts.push((start, raw.len()));
                }
            });
            let all: usize = texts.iter().map(|(_, length)| length).sum();
            let room = (total.bytes + all).saturating_sub(text.len());
            let cap = level(texts.iter().map(|(_, length)| *length).collect(), room).max(SHORT);
            let edits = texts.into_iter().filter(|(_, length)| *length > cap);
            let edits: Vec<Edit> = edits
                .map(|(start, length)| {
                    let raw = &text[start..start + length];
                    (start, start + length, cut_to_bytes(raw, cap))
                })
                .collect();
            apply_edits(text, edits);
        }
        if text.len() > total.bytes {
            return Err(format!(
                "the body has {} bytes, more than the platform's {}",
                thousands(text.len()),
                thousands(total.bytes)
            ));
        }
        Ok(())
    }
}

/// A path, and where what is said of it holds once more.
fn places(file: &PlatformFile, path: &str) -> Vec<String> {
    let again = file.again.iter().filter_map(|(of, at)| {
        let rest = path.strip_prefix(&**of)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{at}{rest}"))
    });
    std::iter::once(path.to_owned()).chain(again).collect()
}

/// More sums than any platform has; a test holds that.
pub(super) const MAX_SUMS: usize = 4;

/// More defaults than any platform has, likewise.
pub(super) const MAX_DEFAULTS: usize = 4;

impl Leaf {
    fn of(row: &LimitRow) -> Leaf {
        Leaf {
            chars: row.chars,
            items: row.items,
            more: row.more.clone(),
            blank: row.blank.clone(),
            hash: row.hash,
            words: row.words.clone(),
            sums: Vec::new(),
            leave_out: false,
            default: None,
        }
    }

    /// How long a whole body may be, in bytes, for this bound to hold in any case.
    fn harmless(&self, sums: &[usize]) -> usize {
        if self.blank.is_some() || !self.words.is_empty() || self.default.is_some() {
            return 0;
        }
        // Each element but the last has a comma.
        let items = self.items.map(|most| 2 * most);
        let sums = self.sums.iter().filter_map(|number| sums.get(*number).copied());
        sums.chain(self.chars).chain(items).min().unwrap_or(usize::MAX)
    }

    /// Whether a text, as it is written, needs no second look.
    fn surely_takes(&self, written: &str) -> bool {
        let shown = |text: &str| text.chars().next().is_some_and(|c| c != '\\' && !is_unseen(c));
        self.chars.is_none_or(|most| written.len() <= most)
            && (self.blank.is_none() || shown(written))
            && (self.words.is_empty() || !self.words.contains_key(written))
    }

    /// An array with no more elements than it may have.
    fn fewer(&self, start: usize, raw: &str) -> Option<Edit> {
        let most = self.items.filter(|_| raw.starts_with('['))?;
        let count = Json::of_checked(raw).items().count();
        if count <= most {
            return None;
        }
        let (kept, last) = match &self.more {
            Some(more) => {
                let kept = most.saturating_sub(1);
                (kept, more.replace("{n}", &thousands(count - kept)))
            }
            None => (most, String::new()),
        };
        let (mut begin, end) = element(raw, kept);
        if last.is_empty() {
            // The comma before goes too.
            begin = raw[..begin].trim_end().trim_end_matches(',').len();
        }
        Some((start + begin, start + end, last))
    }

    /// A text as the bounds want it.
    fn shorter(&self, start: usize, raw: &str) -> Option<Edit> {
        let text = Json::of_checked(raw).as_str()?;
        let instead = match self.words.get(&*text) {
            Some(word) => Some(word.clone()),
            None if text.chars().all(is_unseen) => self.blank.clone(),
            None => None,
        };
        let instead = instead.or_else(|| {
            let most = self.chars?;
            if self.hash && units(&text) > most {
                return Some(hash(&text));
            }
            cut(&text, most)
        })?;
        Some((start, start + raw.len(), json(&instead)))
    }

    /// What stands in the place of a value that was left out.
    fn left_out(&self, start: usize, raw: &str) -> Option<Edit> {
        let instead = || format!("{{\"truncated\":true,\"bytes\":{}}}", raw.len());
        self.leave_out.then(|| (start, start + raw.len(), instead()))
    }
}

/// Whether a character leaves nothing to be seen.
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text as JSON.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The level to which the highest of these are to be cut for all together to be no more than
/// `room`.
fn level(mut heights: Vec<usize>, room: usize) -> usize {
    heights.sort_unstable();
    let mut left = room;
    let count = heights.len();
    for (index, height) in heights.into_iter().enumerate() {
        let share = left / (count - index);
        if height > share {
            return share;
        }
        left -= height;
    }
    usize::MAX
}

/// A string cut so that it is written with at most so many bytes, if that can be.
fn cut_to_bytes(raw: &str, most: usize) -> String {
    let text = Json::of_checked(raw).as_str().unwrap_or_default();
    let mut room = units(&text) * most / raw.len().max(1);
    loop {
        let written = json(&cut(&text, room).unwrap_or_else(|| text.to_string()));
        if written.len() <= most || room == 0 {
            return written;
        }
        room = room * 9 / 10;
    }
}

/// Replaces parts of a text; one inside of another goes with it.
fn apply_edits(text: &mut Cow<'_, str>, mut edits: Vec<Edit>) {
    if edits.is_empty() {
        return;
    }
    edits.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
    let mut edited = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end, instead) in edits {
        if start < done {
            continue;
        }
        edited.push_str(&text[done..start]);
        edited.push_str(&instead);
        done = end;
    }
    edited.push_str(&text[done..]);
    *text = Cow::Owned(edited);
}
