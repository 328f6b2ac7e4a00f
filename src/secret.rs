//! A value that must not be seen: no `Debug`, `Display` or `Serialize` shows it, and it is wiped when dropped.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// A secret text (a cephx key, a keyring, a password). Reading it takes [`Secret::expose`], so every place that does
/// can be found by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never pass it to anything that prints, logs or ends in a process's arguments.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// SHA-256 in hex: how secrets and files are compared without being kept.
pub fn sha256(text: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(text))
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
