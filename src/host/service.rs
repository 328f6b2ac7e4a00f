//! A program of ours that runs on a node itself, and not in a container: sending it, and what systemd does with it.

use std::fs::File;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::node::Node;
use super::{HostError, StepReport, quote};
use crate::docker::image::read;
use crate::event::Unit;
use crate::plan::action::PARTIAL;
use crate::plan::{ProgramSpec, Verb};

/// Not a byte could be sent for so long.
const SILENCE: Duration = Duration::from_secs(60);
/// Writing it to a slow disk and starting it once.
const TO_THE_END: Duration = Duration::from_secs(120);
/// What to do where a program does not get there.
const SLOW: &str = "is the node's disk stuck, or the way to it slow? Run the same command again";
/// A unit is given 130 s to end what it is at, and systemd's 90 s to be ready.
const SERVICE: Duration = Duration::from_secs(260);
/// Lines of its journal that go with an error about a unit.
const LOG_LINES: u32 = 8;

/// What the script says before what it has seen.
const DIFFERS: &str = "@@differs";
const DOES_NOT_RUN: &str = "@@does-not-run";
const OTHER: &str = "@@other";

/// Takes a program in beside its place, and puts it there when it is whole and has run once: a process that runs goes on
/// with the old one.
const TAKE_IN: &str = r#"set -e; umask 022; new=$path.cephdock-new
mkdir -p "${path%/*}"
cat >"$new"
case $(sha256sum <"$new") in "$sum "*) ;; *) rm -f "$new"; echo "@@differs" >&2; exit 1 ;; esac
chmod "$mode" "$new"
said=$("$new" --version 2>&1 </dev/null) || { rm -f "$new"; echo "@@does-not-run $(printf %s "$said" | tr '\n' ' ')" >&2; exit 1; }
case $said in "cephdock "*) ;; *) rm -f "$new"; echo "@@other $(printf %s "$said" | head -n 1)" >&2; exit 1 ;; esac
sync "$new" 2>/dev/null || sync
mv -f "$new" "$path"
sync "${path%/*}" 2>/dev/null || sync
"#;

impl Node {
    /// Sends a program as it was looked into. It is run once (`--version`) before it takes the place of another.
    pub(super) async fn send_program(
        &self,
        spec: &ProgramSpec,
        step: &StepReport,
    ) -> Result<(), HostError> {
        let program = &spec.program;
        let path = quote(&spec.path)?;
        let script = format!("path={path} sum={} mode={:o}\n{TAKE_IN}", program.sha256, spec.mode);
        let script = quote(&script)?;
        let sudo = if self.sudo { "sudo -n " } else { "" };
        let unreadable =
            |e: std::io::Error| HostError::new(format!("{} cannot be read: {e}", program.name()));
        let mut chunks = read(File::open(&program.path).map_err(unreadable)?);
        let mut run = self.session()?.exec(&format!("{sudo}sh -c {script}")).await?;
        let mut sent = 0;
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(unreadable)?;
            match timeout(SILENCE, run.io.write_all(&chunk)).await {
                Ok(Ok(())) => {}
                // the node's own words, below, say more than that it does not listen any more
                Ok(Err(_)) => break,
                Err(_) => {
                    let seconds = SILENCE.as_secs();
                    let what = format!("it took nothing of the program in for {seconds} s");
                    return Err(HostError::new(what).hint(SLOW));
                }
            }
            sent += chunk.len() as u64;
            step.progress("sending", Some((sent, program.bytes, Unit::Bytes)));
        }
        drop(run.io.shutdown().await); // it may have gone
        let mut said = Vec::new();
        let end = async {
            drop(run.stderr.read_to_end(&mut said).await); // the exit tells whether it was cut off
            run.exit.wait().await
        };
        let exit = timeout(TO_THE_END, end).await.map_err(|_| {
            let seconds = TO_THE_END.as_secs();
            let what = format!("the program was sent, and is not in place {seconds} s later");
            HostError::new(what).hint(SLOW)
        })??;
        if exit.success() {
            return Ok(());
        }
        Err(not_taken(spec, &String::from_utf8_lossy(&said), &exit.to_string()))
    }

    /// Tells systemd what becomes of a unit, and waits until it is so.
    pub(super) async fn service(&self, unit: &str, verb: &Verb) -> Result<(), HostError> {
        let unit = quote(unit)?;
        let script = match verb {
            Verb::Start => format!(
                "{RELOAD}systemctl reset-failed {unit} 2>/dev/null || :\nsystemctl enable -q {unit}\nsystemctl start {unit}\n"
            ),
            Verb::Restart => {
                format!("{RELOAD}systemctl enable -q {unit}\nsystemctl restart {unit}\n")
            }
            Verb::Enable => format!("{RELOAD}systemctl enable -q {unit}\n"),
            Verb::Remove(path) => format!(
                "systemctl stop {unit} || [ ! -e {path} ]\nsystemctl disable -q {unit} || [ ! -e {path} ]\nrm -f {path}\n{RELOAD}systemctl reset-failed {unit} 2>/dev/null || :\n",
                path = quote(path)?
            ),
        };
        let script = format!("set -e\nLC_ALL=C; export LC_ALL\n{script}");
        let Err(error) = self.shell("sh -s", script.as_bytes(), SERVICE).await else {
            return Ok(());
        };
        if error.lost {
            return Err(error);
        }
        let journal = format!("journalctl -u {unit} -n {LOG_LINES} -o cat --no-pager");
        let log = self.shell(&journal, b"", TO_THE_END).await.unwrap_or_default();
        let log = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
        let what = format!("systemd did not do it: {}", error.what);
        Err(HostError { what, log, ..error }.hint(format!(
            "look at `systemctl status {unit}` on the node, and run the same command again"
        )))
    }
}

const RELOAD: &str = "systemctl daemon-reload\n";

/// Why a program is not in its place.
fn not_taken(spec: &ProgramSpec, said: &str, exit: &str) -> HostError {
    let (name, bytes) = (spec.program.name(), spec.program.bytes);
    if let Some((_, said)) = said.split_once(DOES_NOT_RUN) {
        // the name under which it was tried says nothing to anybody
        let said = said.replace(&format!("{}{PARTIAL}", spec.path), &spec.path);
        return HostError::new(format!("{name} does not run there: {}", said.trim())).hint(
            "its C library may be older, or another: name a cephdock that runs there with `volumes.driver_binary`, such as \
             one that was built for a musl target, or set `volumes.driver: none`",
        );
    }
    if let Some((_, said)) = said.split_once(OTHER) {
        return HostError::new(format!("{name} is no cephdock: it says {:?}", said.trim()))
            .hint("name a cephdock with `volumes.driver_binary`");
    }
    if said.contains(DIFFERS) {
        return HostError::new(format!("{name} did not come as the {bytes} bytes that it had"))
            .hint("run the same command again; the file may have been changed meanwhile");
    }
    let last = said.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no message");
    let error = HostError::new(format!("{} cannot be written ({exit}): {last}", spec.path));
    if last.contains("No space left") {
        return error.hint("make room on the node's disk, then run the same command again");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::program::Program;

    #[test]
    fn what_the_node_says_becomes_what_to_do() {
        let program =
            Program { path: "/x/cephdock".into(), bytes: 7, sha256: "ab".into(), machine: 62 };
        let spec = ProgramSpec { program, path: "/usr/local/bin/d".into(), mode: 0o755 };
        let old = not_taken(
            &spec,
            "@@does-not-run /usr/local/bin/d.cephdock-new: /lib/libc.so.6: version `GLIBC_2.39' not found",
            "exit code 1",
        );
        assert!(
            old.what.contains("/x/cephdock does not run there: /usr/local/bin/d: /lib"),
            "{old:?}"
        );
        assert!(old.hint.unwrap().contains("volumes.driver_binary"));
        let full = not_taken(&spec, "cat: write error: No space left on device\n", "exit code 1");
        assert!(full.what.contains("No space left") && full.hint.is_some());
        let other = not_taken(&spec, "@@other true (GNU coreutils) 9.7\n", "exit code 1").what;
        assert_eq!(other, r#"/x/cephdock is no cephdock: it says "true (GNU coreutils) 9.7""#);
        assert!(not_taken(&spec, "@@differs\n", "1").what.contains("the 7 bytes"));
    }
}
