//! User certificates, as `ssh-keygen -s` writes them. Who signed one and for whom is the server's to see.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::keyfile::{KeyFile, field};

/// The file that OpenSSH looks for beside a key.
pub(super) fn beside(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push("-cert.pub");
    name.into()
}

/// A certificate as it is shown to a server.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(path)?;
    let mut words = text.split_ascii_whitespace();
    let kind = words.next().is_some_and(|kind| kind.contains("-cert-v"));
    let blob = words.next().and_then(|b| STANDARD.decode(b).ok());
    blob.filter(|_| kind).ok_or_else(|| io::Error::other("it is no certificate"))
}

/// The certificates for a key that are there: of those in `named`, and the one beside it.
pub(super) fn of(named: &[PathBuf], path: &Path, key: &KeyFile) -> Vec<(PathBuf, Vec<u8>)> {
    let is_its = |certificate: &Vec<u8>| match &key.public {
        Some(public) => certifies(certificate, public),
        None => true, // not known before the passphrase; the server will tell
    };
    let beside = Some(beside(path)).filter(|file| !named.contains(file));
    let files = named.iter().cloned().chain(beside);
    let there = files.filter_map(|file| read(&file).ok().map(|certificate| (file, certificate)));
    there.filter(|(_, certificate)| is_its(certificate)).collect()
}

/// Whether `certificate` is one for the key `public`: its kind, a nonce, then what a public key has after its kind
/// (OpenSSH's PROTOCOL.certkeys).
fn certifies(certificate: &[u8], public: &[u8]) -> bool {
    let (mut certificate, mut public) = (certificate, public);
    let heads = (|| {
        field(&mut certificate)?;
        field(&mut certificate)?;
        field(&mut public)
    })();
    heads.is_some() && !public.is_empty() && certificate.starts_with(public)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::certifies;

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            certificate in prop::collection::vec(any::<u8>(), 0..60),
            public in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let head = [0, 0, 0, 1, b'c'];
            let _plain = certifies(&certificate, &public);
            let with_heads = [&head[..], &head, &public, &certificate].concat();
            let key = [&head[..], &public].concat();
            prop_assert_eq!(certifies(&with_heads, &key), !public.is_empty());
        }
    }
}
