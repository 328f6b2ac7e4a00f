//! The cluster as the driver knows it: images, who has one, and the seam behind which it is asked. [`Cli`] asks by the
//! host's `rbd`.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::options::{Fs, Lock};

mod cli;

pub use cli::Cli;

/// What the maker of a volume wrote down about it, in [`super::META_VOLUME`]. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Of this structure: 1.
    pub version: u32,
    /// Its filesystem.
    pub fs: Fs,
    /// Bytes it was made with; it may have grown since.
    pub size: u64,
    /// For mount(8), a word each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// Permission bits of the folder that containers see, such as 0o750.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Its owner, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its group, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Who may write.
    #[serde(default)]
    pub lock: Lock,
    /// Nobody may write.
    #[serde(default)]
    pub read_only: bool,
    /// The snapshot it was made from, `IMAGE@SNAPSHOT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node it was made on.
    pub node: String,
    /// When, RFC 3339.
    pub created: String,
}

/// Who mapped an image last, in an object of its own. True only while its client is among the image's watchers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node.
    pub node: String,
    /// The kernel client's address and nonce.
    pub client_addr: String,
    /// The node's boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Since when, RFC 3339.
    pub time: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// Its name.
    #[serde(alias = "image")]
    pub name: String,
    /// Its id.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// Feature names; `rbd ls` does not say.
    #[serde(default)]
    pub features: Vec<String>,
    /// How many snapshots it has; `rbd ls` does not say.
    #[serde(default)]
    pub snapshot_count: u64,
}

/// Why a call failed, as far as anybody acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such image, pool or snapshot.
    NotFound,
    /// There is one already.
    Exists,
    /// Somebody has it.
    Busy,
    /// Another client holds the lock and does not give it away (EROFS).
    Locked,
    /// It has snapshots.
    NotEmpty,
    /// No answer: the cluster, or the way to it.
    Silent,
    /// The key is missing or may not do this.
    Key,
    /// There is no room, or a quota is used up.
    Full,
    /// This node's kernel has no rbd.
    Module,
    /// This node's client was fenced.
    Fenced,
    /// Anything else.
    Other,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct RbdError {
    /// What it means.
    pub kind: Kind,
    /// What `rbd` said.
    pub said: String,
}

/// The cluster: the seam for a stand-in. Images are named by pool and name, sizes are bytes, features are names with commas
/// between them. Errors: what `rbd` or `rados` said and what that means to the driver, see [`Kind`]; every call has a
/// deadline, after which it is [`Kind::Silent`].
pub trait Rbd: Send + Sync + 'static {
    /// The pool's images, without features.
    fn list(&self, pool: &str) -> impl Future<Output = Result<Vec<Image>, RbdError>> + Send;
    /// One image.
    fn info(
        &self,
        pool: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Image>, RbdError>> + Send;
    /// An image's metadata.
    fn meta(
        &self,
        pool: &str,
        name: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, RbdError>> + Send;
    /// Writes one piece of it.
    fn set_meta(
        &self,
        pool: &str,
        name: &str,
        key: &str,
        value: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Makes an image of `size` bytes.
    fn create(
        &self,
        pool: &str,
        name: &str,
        size: u64,
        features: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Makes an image from a snapshot of another in the same pool.
    fn clone_of(
        &self,
        pool: &str,
        snapshot: &str,
        name: &str,
        features: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Gives an image another name, if nothing has it.
    fn rename(
        &self,
        pool: &str,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Removes an image.
    fn remove(&self, pool: &str, name: &str) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// The addresses of the clients that have it open or mapped.
    fn watchers(
        &self,
        pool: &str,
        name: &str,
    ) -> impl Future<Output = Result<Vec<String>, RbdError>> + Send;
    /// Notes who has an image: [`Owner`] as text. Not in the image's metadata, which nobody can write while it is mapped
    /// exclusively.
    fn set_owner(
        &self,
        pool: &str,
        image_id: &str,
        owner: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Who had it last.
    fn owner(
        &self,
        pool: &str,
        image_id: &str,
    ) -> impl Future<Output = Result<String, RbdError>> + Send;
    /// Nobody will have it again.
    fn forget_owner(
        &self,
        pool: &str,
        image_id: &str,
    ) -> impl Future<Output = Result<(), RbdError>> + Send;
    /// Maps it, and gives the device.
    fn map(
        &self,
        pool: &str,
        name: &str,
        options: &str,
        read_only: bool,
    ) -> impl Future<Output = Result<PathBuf, RbdError>> + Send;
    /// Unmaps a device, if nobody uses it.
    fn unmap(&self, device: &Path) -> impl Future<Output = Result<(), RbdError>> + Send;
}
