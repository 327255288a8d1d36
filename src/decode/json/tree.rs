//! The columns' paths as one tree, which a record is walked along.
//!
//! Consecutive records name their members in the same order. Each node therefore keeps the names that its objects had,
//! as they were written and in their order, whoever reads them; mostly the next name is the next of these, and comparing
//! its bytes is all it takes. What was seen changes how fast a name is found, never which one it is.

use super::grammar::Shape;
use crate::job::path::{Step, read_path};
use crate::job::plan::SourceColumn;

/// Most names that a node keeps. Objects that are maps have new names in every record; beyond this many a name is
/// looked up among the columns' only.
const MOST_NAMES: usize = 128;

/// A place in records that a path leads to or through.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its cell in a row.
    pub(super) slot: usize,
    /// One past the last cell of the nodes below it; its own is the first.
    pub(super) past: usize,
    /// Members by name.
    members: Vec<(Vec<u8>, usize)>,
    /// Elements by place.
    pub(super) elements: Vec<(usize, usize)>,
    /// Each element.
    pub(super) each: Option<usize>,
    /// Names that objects had: as they are written, with their quotes.
    pub(super) seen: Vec<Seen>,
}

/// A name that objects had.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) text: Vec<u8>,
    pub(super) node: Option<usize>,
}

impl Node {
    /// Whether objects are looked into.
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether arrays are looked into.
    pub(super) fn has_elements(&self) -> bool {
        self.each.is_some() || !self.elements.is_empty()
    }

    /// The nodes below that a value of this shape does not lead to.
    pub(super) fn beside(&self, shape: Shape) -> Vec<usize> {
        let mut beside = Vec::new();
        if shape != Shape::Object {
            beside.extend(self.members.iter().map(|(_, below)| *below));
        }
        if shape != Shape::Array {
            beside.extend(self.elements.iter().map(|(_, below)| *below));
            beside.extend(self.each);
        }
        beside
    }

    /// The node below with this name.
    pub(super) fn member(&self, name: &[u8]) -> Option<usize> {
        let (_, node) = self.members.iter().find(|(known, _)| known == name)?;
        Some(*node)
    }

    /// Place in `seen` of a name as it is written, looked for from `from` on.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let from = from.min(self.seen.len());
        let is_it = |seen: &Seen| seen.text == text;
        let after = self.seen[from..].iter().position(is_it);
        after.map_or_else(
            || self.seen[..from].iter().position(is_it),
            |at| Some(from + at),
        )
    }

    /// Keeps a name, which then is the one after those before `at`.
    pub(super) fn keep(&mut self, at: usize, text: &[u8], node: Option<usize>) {
        if self.seen.len() < MOST_NAMES {
            let text = text.to_vec();
            self.seen
                .insert(at.min(self.seen.len()), Seen { text, node });
        }
    }
}

/// All paths of a source.
#[derive(Debug)]
pub(super) struct Tree {
    /// The root, which is the record, first.
    pub(super) nodes: Vec<Node>,
    /// For each column its cell.
    pub(super) slots: Vec<usize>,
    /// The array whose elements are rows, and the cells of what is read in them.
    pub(super) unnest: Option<Unnest>,
}

/// What is read once for each element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unnest {
    /// The array's own cell.
    pub(super) array: usize,
    /// Cells of the node of elements and those below it.
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Tree {
    /// The tree of the columns' paths, which the job's resolver has checked.
    pub(super) fn new(columns: &[SourceColumn]) -> Self {
        let mut tree = Self {
            nodes: vec![Node::default()],
            slots: Vec::new(),
            unnest: None,
        };
        let ends: Vec<usize> = columns
            .iter()
            .map(|column| {
                let path = read_path(&column.header)
                    .unwrap_or_else(|_| vec![Step::Member(column.header.clone())]);
                path.iter().fold(0, |node, step| tree.child(node, step))
            })
            .collect();
        tree.number(0, 0);
        tree.slots = ends.iter().map(|node| tree.nodes[*node].slot).collect();
        let array = tree.nodes.iter().find(|node| node.each.is_some());
        tree.unnest = array.and_then(|array| {
            let each = &tree.nodes[array.each?];
            Some(Unnest {
                array: array.slot,
                from: each.slot,
                to: each.past,
            })
        });
        tree
    }

    /// Cells of a row; the record has the first.
    pub(super) fn width(&self) -> usize {
        self.nodes.len()
    }

    /// The node that a step from `node` leads to.
    fn child(&mut self, node: usize, step: &Step) -> usize {
        let new = self.nodes.len();
        let known = &mut self.nodes[node];
        let found = match step {
            Step::Member(name) => {
                if let Some(found) = known.member(name.as_bytes()) {
                    return found;
                }
                known.members.push((name.clone().into_bytes(), new));
                new
            }
            Step::Element(place) => {
                if let Some((_, found)) = known.elements.iter().find(|(at, _)| at == place) {
                    return *found;
                }
                known.elements.push((*place, new));
                new
            }
            Step::Each => *known.each.get_or_insert(new),
        };
        if found == new {
            self.nodes.push(Node::default());
        }
        found
    }

    /// Gives cells to a node and all below it, one after another.
    fn number(&mut self, node: usize, slot: usize) -> usize {
        self.nodes[node].slot = slot;
        let below: Vec<usize> = {
            let node = &self.nodes[node];
            let members = node.members.iter().map(|(_, below)| *below);
            let elements = node.elements.iter().map(|(_, below)| *below);
            members.chain(elements).chain(node.each).collect()
        };
        let past = below
            .into_iter()
            .fold(slot + 1, |slot, below| self.number(below, slot));
        self.nodes[node].past = past;
        past
    }
}
