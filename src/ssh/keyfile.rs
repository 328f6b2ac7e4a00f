//! Looking at a private key file before libssh2 does: its message for a missing passphrase names neither the file nor
//! the passphrase.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What a private key file is like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyFile {
    /// It needs a passphrase.
    pub(super) encrypted: bool,
    /// The public half, where it can be had without the passphrase.
    pub(super) public: Option<Vec<u8>>,
}

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// As OpenSSH: a key that others can read is no secret.
    #[error("not used, others can read it (mode {mode:04o})")]
    Exposed { mode: u32 },
    #[error("it is no private key")]
    NotAKey,
}

/// Takes the next length-prefixed string.
pub(super) fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let (field, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *rest = tail;
    Some(field)
}

/// Looks at `path`.
pub(super) fn look(path: &Path) -> Result<KeyFile, KeyFileError> {
    let meta = fs::metadata(path)?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 && fs::metadata("/proc/self").is_ok_and(|me| me.uid() == meta.uid()) {
        return Err(KeyFileError::Exposed { mode });
    }
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let mut key = parse(&text).ok_or(KeyFileError::NotAKey)?;
    if key.public.is_none() {
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        let line = fs::read_to_string(name).unwrap_or_default();
        key.public = line.split_ascii_whitespace().nth(1).and_then(|b| STANDARD.decode(b).ok());
    }
    Ok(key)
}

fn parse(text: &str) -> Option<KeyFile> {
    let mut lines = text.lines();
    let begin = lines.find(|l| l.starts_with("-----BEGIN ") && l.contains("PRIVATE KEY"))?;
    if begin.contains("OPENSSH") {
        let body: Zeroizing<String> =
            Zeroizing::new(lines.take_while(|l| !l.starts_with("-----")).collect());
        return parse_openssh(&Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?));
    }
    let encrypted = begin.contains("ENCRYPTED")
        || lines.any(|l| l.starts_with("Proc-Type:") && l.contains("ENCRYPTED"));
    Some(KeyFile { encrypted, public: None })
}

/// The head of OpenSSH's own format: magic, cipher, kdf, kdf options, number of keys, first public key.
fn parse_openssh(bytes: &[u8]) -> Option<KeyFile> {
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let cipher = field(&mut rest)?;
    field(&mut rest)?;
    field(&mut rest)?;
    rest = rest.get(4..)?;
    let public = field(&mut rest).map(<[u8]>::to_vec);
    Some(KeyFile { encrypted: cipher != b"none", public })
}
