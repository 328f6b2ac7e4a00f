//! Asking the user for a passphrase or a password, once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::secret::Secret;

/// Somebody who can be asked for a secret.
pub trait Prompt: Send + Sync {
    /// Asks, and blocks until there is an answer. `None`: there is nobody to ask, or the user declined.
    fn secret(&self, question: &str) -> Option<Secret>;
    /// The same for an answer that is good for one login alone, such as a one-time password.
    fn once(&self, question: &str) -> Option<Secret> {
        self.secret(question)
    }
}

/// Asks each question only once however many nodes need the answer, and one question at a time.
pub struct Prompts {
    inner: Arc<dyn Prompt>,
    answers: Mutex<HashMap<String, Option<Secret>>>,
}

impl Prompts {
    /// Wraps the one who is really asked.
    pub fn new(inner: Arc<dyn Prompt>) -> Self {
        Self { inner, answers: Mutex::new(HashMap::new()) }
    }
}

impl Prompt for Prompts {
    fn secret(&self, question: &str) -> Option<Secret> {
        // held while the user types: a second question on the same terminal would garble the first
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(question) {
            return known.clone();
        }
        let answer = self.inner.secret(question);
        answers.insert(question.to_owned(), answer.clone());
        answer
    }

    fn once(&self, question: &str) -> Option<Secret> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(None) = answers.get(question) {
            return None; // nobody is asked again who was not there or would not
        }
        let answer = self.inner.secret(question);
        if answer.is_none() {
            answers.insert(question.to_owned(), None);
        }
        answer
    }
}

impl fmt::Debug for Prompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompts")
    }
}

/// Nobody: for runs without a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Prompt for Nobody {
    fn secret(&self, _question: &str) -> Option<Secret> {
        None
    }
}
