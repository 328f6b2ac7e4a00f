//! cephdock turns plain Docker hosts into a Ceph cluster, from one inventory, over SSH.
//!
//! ```text
//! inventory.yaml -> Inventory ─┐
//! nodes ─ observe ─> Facts ────┼─> plan() ─> Plan ─ apply(stage) ─> Events ─> report
//! mint / adopt ───> Identity ──┘   (pure)         │
//!        ^                                        │
//!        └──────────── observe again ◄────────────┘        until the plan is empty
//! ```
//!
//! ARCHITECTURE.md has one line for each room and says where to add things.

pub mod apply;
pub mod causes;
pub mod check;
pub mod cli;
pub mod command;
pub mod converge;
pub mod daemon;
pub mod demo;
pub mod docker;
pub mod event;
pub mod facts;
pub mod host;
pub mod identity;
pub mod image;
pub mod inventory;
pub mod plan;
pub mod report;
pub mod secret;
pub mod ssh;
pub mod status;
pub mod support;
pub mod volume;
pub mod watchdog;
