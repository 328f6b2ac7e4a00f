//! The cluster, by the host's `rbd` and `rados`: JSON only, each call with a deadline.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Image, Kind, Rbd, RbdError};
use crate::volume::command::{self, Failed};

/// The `rbd` program.
#[derive(Debug)]
pub struct Cli {
    program: String,
    rados: String,
    user: String,
    /// How many run at once: each is a client of the cluster with threads of its own.
    turns: Semaphore,
}

const AT_ONCE: usize = 24;
/// For what is asked to say more than is needed.
const ASK: Duration = Duration::from_secs(8);
/// For what a volume cannot be had without. A node that died with a mon and OSDs is out of the way after half a minute,
/// and a question that waits goes on at that moment; whoever cannot wait as long ends it himself.
const WAIT: Duration = Duration::from_secs(40);
/// For the question why there was no answer.
const FULL: Duration = Duration::from_secs(3);
const CHANGE: Duration = Duration::from_secs(40);
/// Longer than [`crate::volume::driver::LOCK_TIMEOUT`].
const MAP: Duration = Duration::from_secs(95);
const REMOVE: Duration = Duration::from_secs(50);

impl Cli {
    /// The two programs, as the cluster's user `user`, without `client.`.
    pub fn new(
        program: impl Into<String>,
        rados: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        let turns = Semaphore::new(AT_ONCE);
        Self { program: program.into(), rados: rados.into(), user: user.into(), turns }
    }

    async fn run(&self, deadline: Duration, args: &[&str]) -> Result<String, RbdError> {
        let failed = match self.run_as(&self.program, deadline, args).await {
            Err(error) if error.kind == Kind::Silent => error,
            other => return other,
        };
        let args = ["--id", &self.user, "health", "--format", "json"];
        match command::run("ceph", args, FULL).await.ok().and_then(|health| full(&health)) {
            Some(said) => Err(RbdError { kind: Kind::Full, said }),
            None => Err(failed),
        }
    }

    /// `rados COMMAND` on the object that notes who has an image.
    async fn on_owner(
        &self,
        pool: &str,
        command: &str,
        image_id: &str,
        args: &[&str],
    ) -> Result<String, RbdError> {
        let object = format!("cephdock.owner.{image_id}");
        let all = [&["--pool", pool, command, &object], args].concat();
        self.run_as(&self.rados, ASK, &all).await
    }

    async fn run_as(
        &self,
        program: &str,
        deadline: Duration,
        args: &[&str],
    ) -> Result<String, RbdError> {
        let _turn = self.turns.acquire().await;
        let id = ["--id", &self.user];
        let all = id.iter().chain(args).map(OsString::from);
        command::run(program, all, deadline).await.map_err(|failed| meaning(&failed))
    }

    async fn json(&self, deadline: Duration, args: &[&str]) -> Result<Value, RbdError> {
        let out = self.run(deadline, &[args, &["--format", "json"]].concat()).await?;
        serde_json::from_str(&out).map_err(|e| odd(format!("rbd {}: {e}", args[0])))
    }
}

fn odd(said: String) -> RbdError {
    RbdError { kind: Kind::Other, said }
}

/// What a failed `rbd` means. It ends with the errno as its exit code, and writes it in brackets.
fn meaning(failed: &Failed) -> RbdError {
    let kind = match failed {
        Failed::Start { .. } => Kind::Other,
        Failed::Deadline { .. } => Kind::Silent,
        Failed::Exit { code, said, .. } => {
            // an exit code of 1 stands for anything
            let has = |errno: u32| {
                (*code != 1 && *code == errno.cast_signed()) || said.contains(&format!("({errno})"))
            };
            if said.contains("failed to load rbd kernel module") {
                Kind::Module
            } else if said.contains("unable to find a keyring") || said.contains("no keyring found")
            {
                Kind::Key
            } else if said.contains("connect to the cluster") && !has(13) && !has(1) {
                Kind::Silent
            } else if has(30) {
                Kind::Locked
            } else if has(108) {
                Kind::Fenced
            } else if has(110) || has(113) {
                Kind::Silent
            } else if has(28) || has(122) {
                Kind::Full
            } else if has(17) {
                Kind::Exists
            } else if has(39) {
                Kind::NotEmpty
            } else if has(16) {
                Kind::Busy
            } else if has(2) {
                Kind::NotFound
            } else if has(13) || has(1) {
                Kind::Key
            } else {
                Kind::Other
            }
        }
    };
    RbdError { kind, said: shown(failed) }
}

/// What `rbd` itself said, without what its libraries logged.
fn shown(failed: &Failed) -> String {
    let Failed::Exit { said, .. } = failed else { return failed.to_string() };
    let own: Vec<&str> = said.split(" / ").filter_map(|l| l.strip_prefix("rbd: ")).collect();
    if own.is_empty() { failed.to_string() } else { format!("rbd: {}", own.join(", ")) }
}

/// Whether Ceph says, as `ceph health` in JSON, that something is full: who writes waits then, and is told nothing.
fn full(health: &str) -> Option<String> {
    let health: Value = serde_json::from_str(health).ok()?;
    let checks = health["checks"].as_object()?;
    let check = checks.iter().find(|(name, _)| name.ends_with("_FULL"))?;
    Some(check.1["summary"]["message"].as_str().unwrap_or(check.0).to_owned())
}

/// Watchers of `rbd status`: a list, or a mapping up to Ceph 13.
fn watchers(status: &Value) -> Vec<String> {
    let address = |w: &Value| w["address"].as_str().map(str::to_owned);
    match &status["watchers"] {
        Value::Array(all) => all.iter().filter_map(address).collect(),
        Value::Object(all) => all.values().filter_map(address).collect(),
        _ => Vec::new(),
    }
}

/// Images of `rbd ls --long`, which has a line for each snapshot too.
fn images(list: Value) -> Result<Vec<Image>, RbdError> {
    let Value::Array(rows) = list else { return Err(odd("rbd ls gave no list".into())) };
    let rows = rows.into_iter().filter(|row| row.get("snapshot").is_none());
    rows.map(|row| serde_json::from_value(row).map_err(|e| odd(format!("rbd ls: {e}")))).collect()
}

impl Rbd for Cli {
    async fn list(&self, pool: &str) -> Result<Vec<Image>, RbdError> {
        images(self.json(ASK, &["ls", "--long", "--pool", pool]).await?)
    }

    async fn info(&self, pool: &str, name: &str) -> Result<Option<Image>, RbdError> {
        match self.json(WAIT, &["info", "--pool", pool, "--image", name]).await {
            Ok(json) => {
                serde_json::from_value(json).map(Some).map_err(|e| odd(format!("rbd info: {e}")))
            }
            Err(error) if error.kind == Kind::NotFound && !error.said.contains("pool") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn meta(&self, pool: &str, name: &str) -> Result<BTreeMap<String, String>, RbdError> {
        let args = ["image-meta", "list", "--pool", pool, "--image", name, "--format", "json"];
        let out = self.run(WAIT, &args).await?;
        if out.trim().is_empty() {
            return Ok(BTreeMap::new()); // that is how it says that there is none
        }
        serde_json::from_str(&out).map_err(|e| odd(format!("rbd image-meta: {e}")))
    }

    async fn set_meta(
        &self,
        pool: &str,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<(), RbdError> {
        let args = ["image-meta", "set", "--pool", pool, "--image", name, key, value];
        self.run(CHANGE, &args).await.map(drop)
    }

    async fn create(
        &self,
        pool: &str,
        name: &str,
        size: u64,
        features: &str,
    ) -> Result<(), RbdError> {
        let size = format!("{size}B");
        let args = [
            "create",
            "--pool",
            pool,
            "--image",
            name,
            "--size",
            &size,
            "--image-feature",
            features,
        ];
        self.run(CHANGE, &args).await.map(drop)
    }

    async fn clone_of(
        &self,
        pool: &str,
        snapshot: &str,
        name: &str,
        features: &str,
    ) -> Result<(), RbdError> {
        let from = format!("{pool}/{snapshot}");
        let to = format!("{pool}/{name}");
        // the second format of clones needs no protected snapshot
        let args =
            ["clone", "--rbd-default-clone-format", "2", "--image-feature", features, &from, &to];
        self.run(CHANGE, &args).await.map(drop)
    }

    async fn rename(&self, pool: &str, from: &str, to: &str) -> Result<(), RbdError> {
        let (from, to) = (format!("{pool}/{from}"), format!("{pool}/{to}"));
        self.run(CHANGE, &["rename", &from, &to]).await.map(drop)
    }

    async fn remove(&self, pool: &str, name: &str) -> Result<(), RbdError> {
        self.run(REMOVE, &["rm", "--no-progress", "--pool", pool, "--image", name]).await.map(drop)
    }

    async fn watchers(&self, pool: &str, name: &str) -> Result<Vec<String>, RbdError> {
        Ok(watchers(&self.json(WAIT, &["status", "--pool", pool, "--image", name]).await?))
    }

    async fn set_owner(&self, pool: &str, image_id: &str, owner: &str) -> Result<(), RbdError> {
        self.on_owner(pool, "setxattr", image_id, &["owner", owner]).await.map(drop)
    }

    async fn owner(&self, pool: &str, image_id: &str) -> Result<String, RbdError> {
        self.on_owner(pool, "getxattr", image_id, &["owner"]).await
    }

    async fn forget_owner(&self, pool: &str, image_id: &str) -> Result<(), RbdError> {
        self.on_owner(pool, "rm", image_id, &[]).await.map(drop)
    }

    async fn map(
        &self,
        pool: &str,
        name: &str,
        options: &str,
        read_only: bool,
    ) -> Result<PathBuf, RbdError> {
        let mut args = vec!["map", "--pool", pool, "--image", name];
        if !options.is_empty() {
            args.extend(["--options", options]);
        }
        if read_only {
            args.push("--read-only");
        }
        let out = self.run(MAP, &args).await?;
        Ok(out.trim().into())
    }

    async fn unmap(&self, device: &Path) -> Result<(), RbdError> {
        let device = device.to_string_lossy();
        self.run(CHANGE, &["unmap", &device]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rbd_prints_is_read() {
        let info: Image =
            serde_json::from_str(include_str!("../../../tests/fixtures/rbd/info-v18.json"))
                .unwrap();
        assert_eq!((info.name.as_str(), info.id.as_str()), ("data", "10c9d1a7a3f1"));
        assert_eq!((info.size, info.snapshot_count), (1 << 30, 0));
        assert!(info.features.iter().any(|f| f == "exclusive-lock"));
        let list: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/rbd/ls-long-v18.json"))
                .unwrap();
        let list = images(list).unwrap();
        assert_eq!(list.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["data", "other"]);
        assert!(images(Value::Null).is_err());
        for (text, expected) in [
            (
                include_str!("../../../tests/fixtures/rbd/status-v18.json"),
                "10.32.3.71:0/1434120812",
            ),
            (
                include_str!("../../../tests/fixtures/rbd/status-v12.json"),
                "10.32.3.71:0/1434120812",
            ),
        ] {
            assert_eq!(watchers(&serde_json::from_str(text).unwrap()), [expected]);
        }
        assert!(watchers(&serde_json::json!({"watchers": []})).is_empty());
    }

    #[test]
    fn failures_are_told_apart() {
        let exit = |code: i32, said: &str| {
            meaning(&Failed::Exit { program: "rbd".into(), code, said: said.into() }).kind
        };
        for (code, said, kind) in [
            (2, "rbd: error opening image x: (2) No such file or directory", Kind::NotFound),
            (17, "rbd: create error: (17) File exists", Kind::Exists),
            (
                30,
                "rbd: sysfs write failed / rbd: map failed: (30) Read-only file system",
                Kind::Locked,
            ),
            (
                16,
                "rbd: sysfs write failed / rbd: unmap failed: (16) Device or resource busy",
                Kind::Busy,
            ),
            (39, "rbd: image has snapshots with linked clones", Kind::NotEmpty),
            (
                1,
                "auth: unable to find a keyring on /etc/ceph/x / rbd: couldn't connect to the cluster!",
                Kind::Key,
            ),
            (1, "rbd: couldn't connect to the cluster! / (13) Permission denied", Kind::Key),
            (1, "rbd: couldn't connect to the cluster!", Kind::Silent),
            (110, "rbd: map failed: (110) Connection timed out", Kind::Silent),
            (
                108,
                "rbd: map failed: (108) Cannot send after transport endpoint shutdown",
                Kind::Fenced,
            ),
            (28, "rbd: create error: (28) No space left on device", Kind::Full),
            (122, "rbd: create error: (122) Disk quota exceeded", Kind::Full),
            (
                1,
                "modprobe: FATAL: Module rbd not found / rbd: failed to load rbd kernel module (1) / rbd: map failed: (2) No such file or directory",
                Kind::Module,
            ),
            (6, "rbd: map failed: (6) No such device or address", Kind::Other),
            (1, "rbd: list: (1) Operation not permitted", Kind::Key),
        ] {
            assert_eq!(exit(code, said), kind, "{said}");
        }
        let noisy = Failed::Exit {
            program: "rbd".into(),
            code: 2,
            said: "2026-11-26T12:54:07 auth: unable to find a keyring / rbd: listing images failed: (2) No such file or directory".into(),
        };
        let error = meaning(&noisy);
        assert_eq!(error.kind, Kind::Key);
        assert_eq!(error.said, "rbd: listing images failed: (2) No such file or directory");
        let health = r#"{"status":"HEALTH_WARN","checks":{"MON_DOWN":{},"POOL_FULL":{"severity":"HEALTH_WARN","summary":{"message":"1 pool(s) full","count":1},"muted":false}}}"#;
        assert_eq!(full(health).as_deref(), Some("1 pool(s) full"));
        assert_eq!(full(r#"{"status":"HEALTH_OK","checks":{}}"#), None);
        let late = Failed::Deadline { program: "rbd".into(), after: ASK };
        assert_eq!(meaning(&late).kind, Kind::Silent);
    }
}
