//! How far a step is, in words. Bars and lines say it alike.

use crate::event::{Event, Unit};

use super::text::{bytes, clean, percent};

/// The figures of a `StepProgress`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// What the step is at; may be empty.
    pub(super) message: String,
    done: Option<u64>,
    total: Option<u64>,
    is_bytes: bool,
}

impl Progress {
    /// From the event, if it is one of progress.
    pub(super) fn from_event(event: &Event) -> Option<Self> {
        let Event::StepProgress { message, done, total, unit, .. } = event else { return None };
        let is_bytes = *unit == Some(Unit::Bytes);
        Some(Self { message: clean(message), done: *done, total: *total, is_bytes })
    }

    /// `120 MiB of 400 MiB, 30 %`, `3 of 7`; empty where nothing is counted.
    pub(super) fn figures(&self) -> String {
        let show = |n: u64| if self.is_bytes { bytes(n) } else { n.to_string() };
        match (self.done, self.total) {
            (Some(d), Some(t)) => match percent(d, t).filter(|_| self.is_bytes) {
                Some(p) => format!("{} of {}, {p} %", show(d), show(t)),
                None => format!("{} of {}", show(d), show(t)),
            },
            (Some(d), None) => show(d),
            (None, _) => String::new(),
        }
    }

    /// `30 %`, `3 of 7`: the least that says how far it is.
    pub(super) fn short(&self) -> String {
        match (self.done, self.total, self.is_bytes) {
            (Some(d), Some(t), true) => percent(d, t).map(|p| format!("{p} %")).unwrap_or_default(),
            _ => self.figures(),
        }
    }

    /// How many of `cells` are full; `None` where there is no total to compare with, or no bytes.
    pub(super) fn cells(&self, cells: usize) -> Option<usize> {
        let p = percent(self.done?, self.total?).filter(|_| self.is_bytes)?;
        Some(cells * usize::try_from(p).ok()? / 100)
    }

    /// The message with the figures behind it.
    pub(super) fn words(&self) -> String {
        match (self.message.is_empty(), self.figures()) {
            (true, figures) => figures,
            (false, figures) if figures.is_empty() => self.message.clone(),
            (false, figures) => format!("{}, {figures}", self.message),
        }
    }
}
