//! The log file of a run that changes something: what happened, in plain lines with their times, as `-v` shows it. Events
//! hold no secrets, so neither does the file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::text::rfc3339;

/// So many are kept, the newest.
const KEPT: usize = 20;

/// The log of this process. It is one for all of it: errors are printed in places that know no log.
static LOG: OnceLock<RunLog> = OnceLock::new();

/// A log that is written.
#[derive(Debug, Clone)]
pub(super) struct RunLog {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Write for RunLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins this process's log, in the folder of logs of this user. The error says why there is none.
pub(super) fn begin() -> Result<RunLog, String> {
    if let Some(log) = LOG.get() {
        return Ok(log.clone());
    }
    let folder = folder().ok_or("neither XDG_STATE_HOME nor HOME is set")?;
    let told = |e: io::Error| format!("{}: {e}", folder.display());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let log = create(&folder, &arguments, SystemTime::now()).map_err(told)?;
    Ok(LOG.get_or_init(|| log).clone())
}

/// Adds text to the log, if there is one.
pub(super) fn add(text: &str) {
    if let Some(log) = LOG.get() {
        drop(log.clone().write_all(text.as_bytes())); // a full disk is not what the run is about
    }
}

/// Where this process's log is.
pub fn path() -> Option<&'static Path> {
    LOG.get().map(|log| log.path.as_path())
}

/// The folder of this user's logs: `CEPHDOCK_LOG_DIR`, or `cephdock` in the XDG state folder.
pub fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("CEPHDOCK_LOG_DIR")
        .or_else(|| set("XDG_STATE_HOME").map(|p| p.join("cephdock")))
        .or_else(|| set("HOME").map(|p| p.join(".local/state/cephdock")))
}

/// The logs that are there, the oldest first: their names begin with their time.
pub fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut logs: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.sort();
    logs
}

fn create(folder: &Path, arguments: &[String], now: SystemTime) -> io::Result<RunLog> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let logs = all(folder);
    for old in logs.iter().take((logs.len() + 1).saturating_sub(KEPT)) {
        drop(fs::remove_file(old)); // somebody else's rotation may have been faster
    }
    let time = rfc3339(now);
    let path = folder.join(format!("{}-{}.log", time.replace(':', ""), std::process::id()));
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(file, "{time} cephdock {version}: {}", arguments.join(" "))?;
    Ok(RunLog { path, file: Arc::new(Mutex::new(file)) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_newest_are_kept_and_only_this_user_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let arguments = ["up".to_owned(), "-y".into()];
        for second in 0..30 {
            let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
            let mut log = create(&folder, &arguments, now).unwrap();
            log.write_all(b"a line\n").unwrap();
        }
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let logs = all(&folder);
        assert_eq!(logs.len(), KEPT);
        let newest = logs.last().unwrap();
        let text = fs::read_to_string(newest).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(text, format!("2023-11-14T22:13:49Z cephdock {version}: up -y\na line\n"));
        assert_eq!(fs::metadata(newest).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(folder.join("notes.txt").exists());
    }

    #[test]
    fn without_a_place_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(create(&file.join("x"), &[], SystemTime::now()).is_err());
    }
}
