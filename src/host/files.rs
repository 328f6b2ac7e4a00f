//! Writing files on a node: one tar stream over one command, whatever their number.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::HostError;
use super::node::Node;
use crate::plan::FileSpec;
use crate::plan::action::PARTIAL;

const DEADLINE: Duration = Duration::from_secs(60);

impl Node {
    /// Unpacks all files beside their places, brings them to the disk, renames each, and brings that to the disk too: a
    /// reader sees the old file or the new one, whole and with its permissions, and a power cut afterwards changes
    /// nothing. The contents travel on stdin and stand in no process list.
    pub(super) async fn write_files(&self, files: &[FileSpec]) -> Result<(), HostError> {
        let archive = archive(files).map_err(|e| HostError::new(format!("packing files: {e}")))?;
        let script =
            install(files).map_err(|e| HostError::new(format!("a path cannot be written: {e}")))?;
        self.shell(&format!("sh -c {script}"), &archive, DEADLINE).await.map(drop).map_err(|e| {
            if e.what.contains("No space left") {
                e.hint("make room on the node's disk, then run the same command again")
            } else {
                e
            }
        })
    }
}

fn archive(files: &[FileSpec]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let content = file.content.expose().as_bytes();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("{}{PARTIAL}", file.path.trim_start_matches('/'));
        tar.append_data(&mut header, path, content)?;
    }
    tar.into_inner()
}

fn install(files: &[FileSpec]) -> Result<String, shlex::QuoteError> {
    let mut script = String::from("set -e; umask 077; ");
    let mut folders = BTreeSet::new();
    let mut quoted_folders = Vec::new();
    for file in files {
        let folder = file.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        if folders.insert(folder) {
            let quoted = shlex::try_quote(folder)?;
            quoted_folders.push(quoted.clone());
            let (parent, _) = folder.rsplit_once('/').unwrap_or(("", ""));
            let parent =
                shlex::try_quote(if parent.is_empty() { "/" } else { parent })?.into_owned();
            write!(
                script,
                "[ -d {quoted} ] || {{ (umask 022; mkdir -p {parent}); mkdir -m {:o} {quoted}; }}; ",
                file.folder_mode
            )
            .unwrap_or_default();
        }
    }
    let partial = |file: &FileSpec| {
        shlex::try_quote(&format!("{}{PARTIAL}", file.path)).map(std::borrow::Cow::into_owned)
    };
    let partials: Vec<String> = files.iter().map(partial).collect::<Result<_, _>>()?;
    // busybox's sync takes no names
    write!(script, "tar -C / -xpomf -; sync {0} 2>/dev/null || sync; ", partials.join(" "))
        .unwrap_or_default();
    for (file, partial) in files.iter().zip(&partials) {
        write!(script, "mv -f {partial} {}; ", shlex::try_quote(&file.path)?).unwrap_or_default();
    }
    // the new names too: what is called done has to outlast a power cut, the identity above all
    let folders = quoted_folders.join(" ");
    write!(script, "sync {folders} 2>/dev/null || sync; ").unwrap_or_default();
    shlex::try_quote(&script).map(std::borrow::Cow::into_owned)
}
