//! What each page of a damaged store is for. SQLite keeps a map of that in stores that can shrink
//! (`auto_vacuum`), with the way back from each page: a page that is lost takes neither those behind
//! it in a chain with it, nor those below it in a tree.

use super::pages::{Pages, number};
use crate::store::database::PAGE_BYTES;
use std::collections::HashMap;

/// Pages that one page of the map tells of.
const MAPPED: u32 = (PAGE_BYTES / 5) as u32;

/// The page that is never used, for the sake of locks.
const LOCK_PAGE: u32 = 0x4000_0000 / PAGE_BYTES as u32 + 1;

/// More pages than any tree is high.
const MAX_HEIGHT: usize = 32;

/// What of a page of a chain is payload.
const IN_CHAIN: usize = PAGE_BYTES - 4;

/// The longest chain that is read without knowing how long it should be, in bytes.
const MAX_HEADLESS: usize = 64 * 1024 * 1024;

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The map does not say: its page is damaged.
    Unknown,
    Free,
    /// The topmost page of a tree.
    Root,
    /// Another page of a tree, below that one.
    Tree(u32),
    /// The first page of a chain, of a cell in that page.
    Chain(u32),
    /// A page of a chain, behind that one.
    Behind(u32),
}

/// Which table a page of a tree belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The one with this topmost page.
    Root(u32),
    /// No tree.
    Nothing,
    Unknown,
}

#[derive(Debug)]
pub(super) struct Map {
    uses: Vec<Use>,
    /// The page behind a page of a chain.
    behind: HashMap<u32, u32>,
    /// Pages of chains that were read.
    read: Vec<bool>,
}

impl Map {
    pub(super) fn read(pages: &Pages) -> Self {
        let count = pages.count as usize + 1;
        let mut map = Map {
            uses: vec![Use::Unknown; count],
            behind: HashMap::new(),
            read: vec![false; count],
        };
        for at in (2..=pages.count).step_by(MAPPED as usize + 1) {
            let at = if at == LOCK_PAGE { at + 1 } else { at };
            let Some(entries) = pages.read(at) else { continue };
            map.set(at, Use::Free);
            for (entry, page) in entries.chunks_exact(5).zip(at + 1..=pages.count) {
                map.enter(page, entry[0], number(entry, 1));
            }
        }
        map.set(1, Use::Root);
        map.free_listed(pages);
        map
    }

    fn set(&mut self, page: u32, to: Use) {
        self.uses.get_mut(page as usize).into_iter().for_each(|place| *place = to);
    }

    fn of(&self, page: u32) -> Use {
        self.uses.get(page as usize).copied().unwrap_or(Use::Free)
    }

    fn enter(&mut self, page: u32, kind: u8, parent: u32) {
        let known = parent > 0 && (parent as usize) < self.uses.len();
        let to = match (kind, known) {
            (1, _) if parent == 0 => Use::Root,
            (2, _) if parent == 0 => Use::Free,
            (3, true) => Use::Chain(parent),
            (4, true) => {
                self.behind.insert(parent, page);
                Use::Behind(parent)
            }
            (5, true) => Use::Tree(parent),
            _ => return,
        };
        self.set(page, to);
    }

    /// Pages that the map does not know, and the list of free ones does.
    fn free_listed(&mut self, pages: &Pages) {
        let mut trunk = pages.read(1).map_or(0, |first| number(&*first, 32));
        for _ in 0..pages.count {
            let Some(list) = pages.read(trunk) else { return };
            let count = (number(&*list, 4) as usize).min(PAGE_BYTES / 4 - 2);
            let free = (0..count).map(|index| number(&*list, 8 + 4 * index));
            for page in free.chain([trunk]) {
                if self.of(page) == Use::Unknown {
                    self.set(page, Use::Free);
                }
            }
            trunk = number(&*list, 0);
        }
    }

    /// The table that a page of a tree belongs to.
    pub(super) fn owner(&self, page: u32) -> Owner {
        let mut at = page;
        for _ in 0..MAX_HEIGHT {
            match self.of(at) {
                Use::Root => return Owner::Root(at),
                Use::Tree(parent) => at = parent,
                Use::Unknown => return Owner::Unknown,
                Use::Free | Use::Chain(_) | Use::Behind(_) => return Owner::Nothing,
            }
        }
        Owner::Nothing
    }

    /// The pages where chains begin that nobody has read, with the owner of their cells.
    pub(super) fn unread_chains(&self) -> Vec<(u32, Owner)> {
        let pages = (1..self.uses.len() as u32).filter(|page| !self.read[*page as usize]);
        let chain = |page| match self.of(page) {
            Use::Chain(cell) => Some((page, self.owner(cell))),
            Use::Unknown => Some((page, Owner::Unknown)),
            _ => None,
        };
        pages.filter_map(chain).collect()
    }

    /// Reads the chain from `first` on, of a cell in the page `cell`: `len` bytes, zeros where it
    /// breaks, and how many of them are known to be in their place.
    pub(super) fn chain(
        &mut self,
        pages: &Pages,
        first: u32,
        cell: u32,
        len: usize,
    ) -> (Vec<u8>, usize) {
        let (mut bytes, mut intact) = (Vec::new(), None);
        let mut next = Some(first).filter(|first| match self.of(*first) {
            Use::Chain(parent) => parent == cell,
            other => other == Use::Unknown,
        });
        while let Some(page) = next.filter(|_| bytes.len() < len) {
            let Some((content, behind, whole)) = self.link(pages, page) else { break };
            let before = bytes.len();
            bytes.extend_from_slice(&content[..content.len().min(len - before)]);
            let ends = bytes.len() == len;
            if !whole || ends != behind.is_none() {
                intact.get_or_insert(before);
            }
            next = behind;
        }
        let intact = intact.unwrap_or(bytes.len());
        bytes.resize(len, 0);
        (bytes, intact)
    }

    /// Reads the chain from `first` on, whose cell is lost.
    pub(super) fn headless(&mut self, pages: &Pages, first: u32) -> Vec<u8> {
        let (mut bytes, mut next) = (Vec::new(), Some(first));
        while let Some(page) = next.filter(|_| bytes.len() < MAX_HEADLESS) {
            let Some((content, behind, _)) = self.link(pages, page) else { break };
            bytes.extend_from_slice(&content);
            next = behind;
        }
        bytes
    }

    /// What a page of a chain holds, the page behind it, and whether it agrees with the map.
    fn link(&mut self, pages: &Pages, page: u32) -> Option<(Vec<u8>, Option<u32>, bool)> {
        let read = self.read.get_mut(page as usize)?;
        if std::mem::replace(read, true) {
            return None;
        }
        let content = pages.read(page)?;
        let said = Some(number(&*content, 0)).filter(|page| *page > 0);
        let mapped = self.behind.get(&page).copied();
        // Where the map does not know what is there, the page does.
        let plausible = said.filter(|said| mapped.is_none() && self.of(*said) == Use::Unknown);
        let behind = mapped.or(plausible);
        Some((content[PAGE_BYTES - IN_CHAIN..].to_vec(), behind, said == behind))
    }
}
