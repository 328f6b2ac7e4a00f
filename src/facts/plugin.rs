//! The third-party volume plugin that the inventory names, as a node's Docker has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A managed plugin that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginFact {
    /// Docker's name for it, with its tag: `rexray/rbd:latest`.
    pub name: String,
    /// It runs.
    pub enabled: bool,
    /// SHA-256 (hex) of each setting's value, by name. Values may be secrets and are not kept.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
