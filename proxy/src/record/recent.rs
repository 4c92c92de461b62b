//! The latest decisions, as they came: turned into text when somebody looks, and not while others wait to keep theirs.

use std::collections::VecDeque;
use std::sync::Arc;

use policy::Model;

use super::Record;
use super::tree::tree_path;
use super::writer::Writer;
use crate::generation::Classes;

/// A bounded queue, oldest first.
#[derive(Debug)]
pub(super) struct Recent {
    keep: usize,
    kept: VecDeque<Kept>,
}

#[derive(Clone, Debug)]
pub(super) enum Kept {
    Whole(Arc<Record>),
    /// Of a configuration that is no longer in force: as text, so that a record does not keep all of it alive.
    Text {
        id: u64,
        line: Arc<str>,
    },
}

impl Recent {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, kept: VecDeque::new() }
    }

    /// Keeps no more than `keep` from now on.
    pub(super) fn hold(&mut self, keep: usize) {
        self.keep = keep;
        self.kept.drain(..self.kept.len().saturating_sub(keep));
    }

    /// Keeps a record, and drops the oldest if there are too many.
    pub(super) fn push(&mut self, record: Box<Record>, classes: &Classes) {
        if self.keep == 0 {
            return;
        }
        if let Some(Kept::Whole(last)) = self.kept.back()
            && !Arc::ptr_eq(&last.generation, &record.generation)
        {
            let mut writer = Writer::new(classes);
            self.kept.iter_mut().for_each(|kept| kept.let_go(&mut writer));
        }
        if self.kept.len() >= self.keep {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept::Whole(Arc::from(record)));
    }

    /// The latest `n`, newest first.
    pub(super) fn latest(&self, n: usize) -> Vec<Kept> {
        self.kept.iter().rev().take(n).cloned().collect()
    }

    /// Those after the one of job `id`, at most the latest `n`, newest first.
    pub(super) fn since(&self, id: u64, n: usize) -> Vec<Kept> {
        self.kept.iter().rev().take_while(|kept| kept.id() != id).take(n).cloned().collect()
    }

    /// The one of job `id`. Of several with one id, the newest.
    pub(super) fn find(&self, id: u64) -> Option<Kept> {
        self.kept.iter().rev().find(|kept| kept.id() == id).cloned()
    }
}

impl Kept {
    fn id(&self) -> u64 {
        match self {
            Self::Whole(record) => record.id,
            Self::Text { id, .. } => *id,
        }
    }

    /// As a line of the log; with its path through the tree if `model` made it.
    pub(super) fn text(&self, writer: &mut Writer<'_>, model: Option<&Model>) -> String {
        match self {
            Self::Whole(record) => {
                let model = model.filter(|model| model.version() == record.model_version);
                let path = model.map(|model| tree_path(model, &record.job, &record.generation.config, record.route));
                writer.text(record, &path.unwrap_or_default())
            }
            Self::Text { line, .. } => line.to_string(),
        }
    }

    /// Lets go of the configuration that the record was made under.
    fn let_go(&mut self, writer: &mut Writer<'_>) {
        if let Self::Whole(record) = self {
            *self = Self::Text { id: record.id, line: writer.text(record, &[]).into() };
        }
    }
}
