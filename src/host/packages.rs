//! Ceph's host tools, by the node's own package manager, and the kernel module.
//!
//! What each manager does while another one is at work: apt-get (whose `DPkg::Lock::Timeout` is not for the lock of its
//! lists), zypper and apk fail at once, as all do where rpm itself is locked; dnf and yum would wait for ever, and are
//! told to fail (`exit_on_lock`). So all of them are simply tried again, until the other one is done or
//! [`LOCK_PATIENCE`] is over.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::managers::{
    Failed, LOCK_PATIENCE, LONGEST, Outcome, SILENCE, Why, hung, installs, is_lock, judge, later,
    locked, progress, refreshes, told, with_update,
};
use super::node::Node;
use super::{HostError, StepReport, quote};
use crate::facts::PackageManager;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const COMMAND: Duration = Duration::from_secs(60);

/// Looks for programs where a login by SSH may not.
const PATHS: &str = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH\n";

/// Runs `go` with its output line by line. A package manager must not be cut off half-way, so when cephdock is gone its
/// output is still read, and thrown away, until it ends by itself. No manager may ask anything, and needrestart, where a
/// distribution has it, may not restart services.
const FRAME: &str = r#"
LC_ALL=C DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
export LC_ALL DEBIAN_FRONTEND APT_LISTCHANGES_FRONTEND NEEDRESTART_SUSPEND
{ go "$@" </dev/null 2>&1; echo "@@exit $?"; } | {
  trap '' PIPE
  while IFS= read -r line; do printf '%s\n' "$line" 2>/dev/null || :; done
}
"#;

/// What to do about an installation that was cut off.
const GOES_ON: &str = "run the same command again, which goes on where it ended";

impl Node {
    /// Installs the first of `packages` that the repositories have. What they have is fetched anew only where the
    /// manager does not get on with what it knows.
    pub(super) async fn install(
        &self,
        manager: PackageManager,
        packages: &[String],
        step: &StepReport,
    ) -> Result<(), HostError> {
        let mut failed = None;
        'tries: for refreshed in [false, true] {
            if refreshed {
                step.say("fetching the lists of packages");
                if let Some(update) = self.manage(manager, refreshes(manager), "", step).await? {
                    failed = Some(with_update(failed, update));
                }
            }
            for package in packages {
                step.say(format!("installing {package}"));
                match self.manage(manager, installs(manager), package, step).await? {
                    None => return self.tools_run(manager, package).await,
                    Some(now) if now.why == Why::Missing => failed = Some(later(failed, now)),
                    Some(now) => {
                        let hopeless = matches!(now.why, Why::NoSpace | Why::Interrupted);
                        failed = Some(now);
                        if hopeless {
                            break 'tries;
                        }
                        break;
                    }
                }
            }
        }
        let failed = failed.unwrap_or(Failed { why: Why::Other, words: String::new() });
        Err(told(manager, packages, &failed))
    }

    /// Runs a manager to its end, again and again while another one is at work. `None`: all went well.
    async fn manage(
        &self,
        manager: PackageManager,
        command: &str,
        package: &str,
        step: &StepReport,
    ) -> Result<Option<Failed>, HostError> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            match self.run_manager(manager, command, package, step).await? {
                Outcome::Done => return Ok(None),
                Outcome::Failed(failed) => return Ok(Some(failed)),
                Outcome::Locked(words) if begun.elapsed() > LOCK_PATIENCE => {
                    return Err(locked(manager, &words));
                }
                Outcome::Locked(words) => {
                    step.say(format!("waiting for another package manager: {words}"));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_manager(
        &self,
        manager: PackageManager,
        command: &str,
        package: &str,
        step: &StepReport,
    ) -> Result<Outcome, HostError> {
        let package = quote(package)?;
        let script = format!("{PATHS}set -- {package}\ngo() {{\n{command}\n}}\n{FRAME}");
        let shell = if self.sudo { "sudo -n sh -s" } else { "sh -s" };
        let mut run = self.session()?.exec(shell).await?;
        run.io.write_all(script.as_bytes()).await.map_err(|e| self.cut_off(manager, &e))?;
        run.io.shutdown().await.map_err(|e| self.cut_off(manager, &e))?;
        let mut lines = BufReader::new(&mut run.io).split(b'\n');
        let (mut said, mut code) = (Vec::<String>::new(), None);
        let begun = Instant::now();
        loop {
            // an older rpm waits for its lock by itself, and says so
            let waits = said.last().is_some_and(|line| is_lock(line));
            let patience = if waits { LOCK_PATIENCE } else { SILENCE };
            let patience = patience.min(LONGEST.saturating_sub(begun.elapsed()));
            let line = match timeout(patience, lines.next_segment()).await {
                Ok(Ok(Some(line))) => String::from_utf8_lossy(&line).trim().to_owned(),
                Ok(Ok(None)) => break,
                Ok(Err(e)) => return Err(self.cut_off(manager, &e)),
                Err(_) if waits => {
                    return Err(locked(manager, said.last().map_or("", String::as_str)));
                }
                Err(_) => return Err(hung(manager, said.last().map_or("nothing", String::as_str))),
            };
            if let Some(exit) = line.strip_prefix("@@exit ") {
                code = exit.parse::<i32>().ok();
                continue;
            }
            if let Some(words) = progress(&line) {
                step.say(words);
            }
            if !line.is_empty() {
                said.push(line);
            }
        }
        match code {
            Some(code) => Ok(judge(manager, code, &said)),
            None => Err(self.no_end(run.stderr, run.exit).await),
        }
    }

    /// The shell itself did not get to its end.
    async fn no_end(
        &self,
        mut stderr: tokio::net::UnixStream,
        exit: crate::ssh::PendingExit,
    ) -> HostError {
        let mut said = Vec::new();
        let read = timeout(COMMAND, stderr.read_to_end(&mut said)).await;
        drop(read); // what was said, or not
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match exit.wait().await {
            Err(error) => error.into(),
            Ok(exit) => HostError::new(format!("the installation was cut off ({exit}): {said}"))
                .hint(GOES_ON),
        }
    }

    fn cut_off(&self, manager: PackageManager, error: &std::io::Error) -> HostError {
        self.lost_error().unwrap_or_else(|| {
            HostError::new(format!("{manager} could not be listened to: {error}")).hint(GOES_ON)
        })
    }

    /// The programs that the package is installed for are there and run.
    async fn tools_run(&self, manager: PackageManager, package: &str) -> Result<(), HostError> {
        let check = "command -v ceph >/dev/null || { echo there is no program ceph >&2; exit 1; }\nCEPH_CONF=/dev/null rbd --version >/dev/null\n";
        let run = self.shell("sh -s", check.as_bytes(), COMMAND).await;
        run.map(drop).map_err(|e| {
            if e.lost {
                return e;
            }
            HostError {
                what: format!(
                    "{manager} has {package} installed, and `ceph` and `rbd` do not run: {}",
                    e.what
                ),
                ..e
            }
            .hint("run `rbd --version` on the node; what it misses comes with the package installed anew")
        })
    }

    /// Loads a module into the running kernel; it is no error that it is there.
    pub(super) async fn load_module(&self, name: &str) -> Result<(), HostError> {
        let script = format!("{PATHS}modprobe {}\n", quote(name)?);
        let run = self.shell("sh -s", script.as_bytes(), COMMAND).await;
        run.map(drop).map_err(|e| {
            if e.lost {
                return e;
            }
            HostError { what: format!("the kernel did not load {name}: {}", e.what), ..e }
                .hint("`dmesg` on the node may say why; a file in /etc/modprobe.d may forbid it")
        })
    }
}
