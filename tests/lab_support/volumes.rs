//! What tests of volumes share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use super::own::Own;
use super::{Command, until};

/// An image with a shell and a few programs of the node's own, made on the node: `docker run ... t`.
pub(crate) const IMAGE: &str = r#"set -e
programs="/bin/sh /bin/cat /bin/sleep /bin/sync /bin/ls /bin/stat /bin/touch /bin/df"
libraries=$(ldd $programs | grep -o '/[^ ]*' | grep -v ':$' | sort -u)
mkdir -p /t/image; tar -ch --absolute-names $programs $libraries 2>/dev/null | docker import - t >/dev/null"#;

/// The program without what only debuggers read.
pub(crate) fn program() -> PathBuf {
    let small = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cephdock-small");
    let built = env!("CARGO_BIN_EXE_cephdock");
    let stripped = Command::new("strip").arg("-o").arg(&small).arg(built).status();
    if stripped.is_ok_and(|s| s.success()) { small } else { built.into() }
}

pub(crate) fn released(lab: &Own, node: &str, sys: &str) {
    until("the volume to be let go of", 40, || {
        let left = lab.sh(
            node,
            &format!("ls {sys}/bus/rbd/devices; findmnt -rno TARGET | grep volumes/ || true"),
        );
        if left.trim().is_empty() { Ok(()) } else { Err(left) }
    });
}
