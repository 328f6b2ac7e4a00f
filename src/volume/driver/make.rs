//! `Create` and `Remove`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Driver, FEATURES, SHORT, SIGNED_AFTER, foreign};
use crate::volume::kernel::Kernel;
use crate::volume::options::{Options, Snapshot, large_enough};
use crate::volume::rbd::{Kind, Made, Owner, Rbd, RbdError};
use crate::volume::state::Known;
use crate::volume::{META_STATE, META_VOLUME, Trouble, UNFINISHED, check_name, time};

impl<R: Rbd, K: Kernel> Driver<R, K> {
    /// Makes a volume, unless there is one that is as it was asked for. Formats nothing.
    pub(super) async fn create(
        self: &Arc<Self>,
        name: &str,
        opts: &BTreeMap<String, String>,
    ) -> Result<(), Trouble> {
        check_name(name)?;
        let wanted = Options::parse(opts)?;
        let pools = &self.settings.pools;
        if let Some(pool) = wanted.pool.as_ref().filter(|p| !pools.contains(p)) {
            return Err(Trouble::new(
                format!("volumes cannot be in pool {pool}"),
                format!("this cluster's volumes are in {}", pools.join(", ")),
            ));
        }
        let _turn = self.turn(name).await;
        for _ in 0..2 {
            match self.look(name).await.map_err(|e| self.explain(name, &e))? {
                Some(known) => return same(name, &wanted, &known),
                None => match self.make(name, &wanted).await {
                    Err(Ended::Raced) => {} // another node made it at this very moment
                    Err(Ended::Failed(trouble)) => return Err(trouble),
                    Ok(()) => return Ok(()),
                },
            }
        }
        let what = format!("volume {name} comes and goes on other nodes");
        Err(Trouble::new(what, "try again when that is over"))
    }

    /// Under another name until all is written: a crash leaves nothing that looks like a volume or like somebody else's.
    async fn make(self: &Arc<Self>, name: &str, wanted: &Options) -> Result<(), Ended> {
        let fail = |error: &RbdError| Ended::Failed(self.explain(name, error));
        let pool = wanted.pool.as_ref().unwrap_or(&self.settings.pools[0]);
        let unfinished = format!("{UNFINISHED}{name}.{}", self.settings.node);
        let source = match &wanted.from_snapshot {
            Some(snapshot) => {
                Some(self.source(name, pool, wanted, snapshot).await.map_err(Ended::Failed)?)
            }
            None => None,
        };
        if self.rbd.info(pool, &unfinished).await.map_err(|e| fail(&e))?.is_some() {
            self.rbd.remove(pool, &unfinished).await.map_err(|e| fail(&e))?;
        }
        let features = self.features().map_err(Ended::Failed)?;
        let size = wanted.size.unwrap_or(self.settings.size);
        if source.is_none() {
            large_enough(size, wanted.fs.unwrap_or_default()).map_err(Ended::Failed)?;
        }
        let made = Made {
            version: 1,
            fs: source.as_ref().map_or_else(|| wanted.fs.unwrap_or_default(), |s| s.1.fs),
            size: source.as_ref().map_or(size, |s| s.0.size),
            mount_options: wanted.mount_options.clone(),
            mode: wanted.mode,
            uid: wanted.uid,
            gid: wanted.gid,
            lock: wanted.lock.unwrap_or_default(),
            read_only: wanted.read_only.unwrap_or_default(),
            from: wanted.from_snapshot.as_ref().map(|s| format!("{}@{}", s.image, s.name)),
            node: self.settings.node.clone(),
            created: time::now(),
        };
        match &made.from {
            Some(from) => self.rbd.clone_of(pool, from, &unfinished, &features).await,
            None => self.rbd.create(pool, &unfinished, made.size, &features).await,
        }
        .map_err(|e| match (&made.from, e.kind) {
            (Some(from), Kind::NotFound) => {
                let hint = "`rbd snap ls` lists a volume's snapshots";
                Ended::Failed(Trouble::new(format!("there is no snapshot {from}"), hint))
            }
            _ => fail(&e),
        })?;
        let text = serde_json::to_string(&made).expect("plain data");
        let done = async {
            self.rbd.set_meta(pool, &unfinished, META_VOLUME, &text).await?;
            self.rbd.set_meta(pool, &unfinished, META_STATE, "new").await?;
            self.rbd.rename(pool, &unfinished, name).await
        };
        if let Err(error) = done.await {
            drop(self.rbd.remove(pool, &unfinished).await); // the next attempt removes it otherwise
            return Err(if error.kind == Kind::Exists { Ended::Raced } else { fail(&error) });
        }
        Ok(())
    }

    /// The volume that a new one is made from.
    async fn source(
        &self,
        name: &str,
        pool: &str,
        wanted: &Options,
        snapshot: &Snapshot,
    ) -> Result<(Known, Made), Trouble> {
        let of = &snapshot.image;
        let known = self.look(of).await.map_err(|e| self.explain(name, &e))?;
        let Some(known) = known else {
            return Err(Trouble::new(
                format!("there is no volume {of}"),
                "name one that has a snapshot",
            ));
        };
        if known.pool != pool {
            let what = format!("volume {of} is in pool {}", known.pool);
            return Err(Trouble::new(what, format!("say pool={} for {name} too", known.pool)));
        }
        if wanted.size.is_some_and(|size| size != known.size) {
            return Err(Trouble::new(
                format!("volume {of} has {} MiB, and {name} will have as many", known.size >> 20),
                "leave `size` out",
            ));
        }
        let made = known.made.clone().ok_or_else(|| foreign(&known.pool, of))?;
        Ok((known, made))
    }

    /// The features of a new volume.
    fn features(&self) -> Result<String, Trouble> {
        if let Some(features) = &self.settings.features {
            return Ok(features.clone());
        }
        let can = self.kernel.features().unwrap_or(1 | 4);
        if can & 4 == 0 {
            return Err(Trouble::new(
                "this node's kernel cannot keep a second writer out: its rbd has no exclusive-lock",
                "use Linux 4.9 or later",
            ));
        }
        let names: Vec<&str> = FEATURES.iter().filter(|f| can & f.0 != 0).map(|f| f.1).collect();
        Ok(names.join(","))
    }

    /// Removes a volume that nobody has. One that is not there is removed already.
    pub(super) async fn remove(self: &Arc<Self>, name: &str) -> Result<(), Trouble> {
        check_name(name)?;
        let begun = Instant::now();
        let _turn = self.turn(name).await;
        if self.path(name).is_some() {
            return Err(Trouble::new(
                format!("volume {name} is in use on this node"),
                "stop the containers that use it first",
            ));
        }
        let held: Vec<String> = self.change(|state| {
            let held = state.holds.iter().filter(|(_, hold)| hold.name == name);
            held.map(|(image_id, _)| image_id.clone()).collect()
        });
        for image_id in held {
            if let Err(why) = self.release(&image_id).await {
                let what = format!("volume {name} is still mapped on this node: {why}");
                return Err(Trouble::new(what, "end what has it open, and try again"));
            }
        }
        let explain = |e: RbdError| self.explain(name, &e);
        let Some(known) = self.look(name).await.map_err(explain)? else { return Ok(()) };
        if known.made.is_none() {
            return Err(foreign(&known.pool, name));
        }
        let image = self.rbd.info(&known.pool, name).await.map_err(explain)?;
        if let Some(count) = image.map(|i| i.snapshot_count).filter(|count| *count > 0) {
            return Err(Trouble::new(
                format!("volume {name} has {count} snapshot(s), which would go with it"),
                format!(
                    "remove them first: `rbd snap ls {0}/{name}` lists them, `rbd snap rm {0}/{name}@SNAPSHOT` removes one",
                    known.pool
                ),
            ));
        }
        if let Some(trouble) = self.who_has(name, &known).await.map_err(explain)? {
            return Err(trouble);
        }
        if begun.elapsed() >= SHORT {
            // whoever asked has been told that it failed, and may use it again by now
            return Err(Trouble::new(
                format!("volume {name} was not removed: Ceph did not answer in time"),
                "see how it is with `ceph -s` or `cephdock status`, and try again",
            ));
        }
        match self.rbd.remove(&known.pool, name).await {
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) if error.kind == Kind::Silent => {
                return Err(Trouble::new(
                    format!("removing volume {name} takes long, or Ceph does not answer"),
                    "do it again, which goes on where this ended",
                ));
            }
            Err(error) => return Err(self.explain(name, &error)),
            Ok(()) => {}
        }
        // it stays behind where this fails, and means nothing: an id is not used again
        drop(self.rbd.forget_owner(&known.pool, &known.image_id).await);
        self.forget(name);
        Ok(())
    }

    /// Who has a volume open, if anybody, as a reason not to use it.
    pub(super) async fn who_has(
        &self,
        name: &str,
        known: &Known,
    ) -> Result<Option<Trouble>, RbdError> {
        let (watchers, owner) =
            tokio::join!(self.rbd.watchers(&known.pool, name), self.owner_of(known));
        let watchers = watchers?;
        let Some(first) = watchers.first() else { return Ok(None) };
        let is = |owner: &Owner| watchers.contains(&owner.client_addr);
        let mut owner = owner.filter(is);
        if owner.is_none() {
            // who has just mapped it is about to say so
            tokio::time::sleep(SIGNED_AFTER * 2).await;
            owner = self.owner_of(known).await.filter(is);
        }
        let by = match owner {
            Some(owner) => format!("on node {} since {}", owner.node, time::spoken(&owner.time)),
            None => format!("by the Ceph client at {first}"),
        };
        Ok(Some(Trouble::new(
            format!("volume {name} is in use {by}"),
            "stop the containers that use it there first; if that node is dead, its hold ends by itself within a minute",
        )))
    }

    /// Who wrote down last that it has the image.
    async fn owner_of(&self, known: &Known) -> Option<Owner> {
        let text = self.rbd.owner(&known.pool, &known.image_id).await.ok()?;
        serde_json::from_str(text.trim()).ok()
    }
}

enum Ended {
    /// The name is taken, as of now.
    Raced,
    Failed(Trouble),
}

/// Whether what is there is what is wanted. What was not said does not matter.
fn same(name: &str, wanted: &Options, known: &Known) -> Result<(), Trouble> {
    let Some(made) = &known.made else { return Err(foreign(&known.pool, name)) };
    let mut differs = Vec::new();
    let mut compare = |what: &str, is: String, asked: Option<String>| {
        if let Some(asked) = asked.filter(|asked| *asked != is) {
            differs.push(format!("{what} {is} and not {asked}"));
        }
    };
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    // one that has grown since is still what was asked for then
    compare("size", mib(known.size), wanted.size.filter(|s| *s != made.size).map(mib));
    compare("fstype", made.fs.name().into(), wanted.fs.map(|fs| fs.name().into()));
    compare("pool", known.pool.clone(), wanted.pool.clone());
    let lock = |lock| format!("{lock:?}").to_lowercase();
    compare("lock", lock(made.lock), wanted.lock.map(lock));
    compare("ro", made.read_only.to_string(), wanted.read_only.map(|r| r.to_string()));
    let from = wanted.from_snapshot.as_ref().map(|s| format!("{}@{}", s.image, s.name));
    compare("from-snapshot", made.from.clone().unwrap_or_else(|| "none".into()), from);
    if differs.is_empty() {
        return Ok(());
    }
    Err(Trouble::new(
        format!("there is a volume {name} already, with {}", differs.join(", ")),
        "leave these options out to use it as it is, or choose another name; nothing was changed",
    ))
}
