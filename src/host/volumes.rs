//! Volumes over all nodes: what `cephdock volume` looks at, and the few things it does. Decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters as query;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::node::Node;
use super::{Fleet, HostError, NO_MON, docker_late, quote};
use crate::daemon::{DaemonId, LABEL_KIND};
use crate::event::Said;
use crate::facts::Seen;
use crate::inventory::{Inventory, NodeName};
use crate::volume::fleet::change::{Online, Target};
use crate::volume::fleet::node::{Container, NodeVolumes, Reference, parse};
use crate::volume::fleet::unstick::Cure;
use crate::volume::fleet::{ClusterVolumes, Facts};
use crate::volume::options::Fs;

const PROBE: &str = include_str!("volumes.sh");
const CLIENT: &str = include_str!("rbd.py");
const LOOK: Duration = Duration::from_secs(40);
/// The driver answers from what it knows after 5 s, and Docker asks it once for the list.
const LIST: Duration = Duration::from_secs(20);
/// Longer than the client's own patience with the cluster.
const ASK: Duration = Duration::from_secs(60);
/// The longest pause between two questions to Docker whether it has forgotten a volume.
const FORGET: Duration = Duration::from_secs(5);
/// A large image is removed object by object.
const CHANGE: Duration = Duration::from_secs(3600);
/// Flushing what was written can take long on a slow cluster.
const LET_GO: Duration = Duration::from_secs(90);
const GROW: Duration = Duration::from_secs(300);
/// After this a frozen filesystem thaws by itself, whatever became of cephdock.
const THAW_SECONDS: u32 = 30;

/// What [`CLIENT`] prints.
#[derive(Deserialize)]
struct Answer {
    ok: Option<Value>,
    errno: Option<i32>,
    #[serde(default)]
    said: String,
}

impl Node {
    /// What this node has to do with volumes. Writes nothing and starts nothing.
    pub(crate) async fn look_at_volumes(&self) -> Result<NodeVolumes, HostError> {
        let probe = async {
            let out = self.shell("sh -s", PROBE.as_bytes(), LOOK).await?;
            parse(&String::from_utf8_lossy(&out))
                .map_err(|e| HostError::new(format!("looking at the node's volumes: {e}")))
        };
        let (probe, containers, listed) =
            tokio::join!(probe, self.with_volumes(), timeout(LIST, self.listed()));
        let mut node = probe?;
        match containers {
            Ok((containers, mon)) => {
                node.containers = Seen::Value(containers);
                node.mon = mon;
            }
            Err(error) if error.lost => return Err(error),
            Err(error) => node.containers = Seen::Unknown(error.what),
        }
        node.listed = listed.ok().and_then(Result::ok);
        Ok(node)
    }

    /// Containers with volumes of a driver, and whether a mon's runs.
    async fn with_volumes(&self) -> Result<(Vec<Container>, bool), HostError> {
        let all = query::ListContainersOptionsBuilder::default().all(true).build();
        let list = self.docker()?.list_containers(Some(all));
        let list = self.call("list its containers", list).await.map_err(|f| f.error)?;
        let mon = |c: &ContainerSummary| {
            let labels = c.labels.as_ref().and_then(|l| l.get(LABEL_KIND));
            labels.is_some_and(|kind| kind == "mon") && c.state == Some(State::RUNNING)
        };
        let mon = list.iter().any(mon);
        let with = list.into_iter().map(container).filter(|c| !c.volumes.is_empty());
        Ok((with.collect(), mon))
    }

    async fn listed(&self) -> Result<Vec<String>, HostError> {
        let filters = HashMap::from([("driver", vec!["cephdock"])]);
        let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let list = self.docker()?.list_volumes(Some(options)).await;
        let list = list.map_err(|e| self.docker_error("list volumes", &e))?;
        Ok(list.volumes.unwrap_or_default().into_iter().map(|v| v.name).collect())
    }

    /// Runs the client in this node's mon container.
    async fn rbd(&self, ask: &Value, deadline: Duration) -> Result<Value, HostError> {
        let argv = ["python3", "-c", CLIENT, &ask.to_string()].map(str::to_owned);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut keep = |said: Said<'_>| {
            match said {
                Said::Out(bytes) => out.extend_from_slice(bytes),
                Said::Err(bytes) => err.extend_from_slice(bytes),
            }
            ControlFlow::Continue(())
        };
        let mon = DaemonId::mon(&self.name);
        // what it has begun it ends, whatever becomes of cephdock
        let ended = timeout(deadline, self.run_in(&mon, &argv, Some(b""), &mut keep)).await;
        let late =
            |_| HostError::new(format!("Ceph did not answer within {} s", deadline.as_secs()));
        ended.map_err(late)?.map_err(|error| HostError {
            what: error.what.replace(CLIENT, "..."), // the program itself is nothing to read
            ..error
        })?;
        let last = String::from_utf8_lossy(&out);
        let answer = last.lines().rev().find_map(|l| serde_json::from_str::<Answer>(l).ok());
        let Some(answer) = answer else {
            let err = String::from_utf8_lossy(&err);
            let said = err.trim().lines().last().unwrap_or("it said nothing");
            let what = format!("the client in the mon's container ended: {said}");
            return Err(HostError::new(what));
        };
        match answer.errno {
            None => Ok(answer.ok.unwrap_or(Value::Null)),
            Some(errno) => Err(explain(errno, &answer.said)),
        }
    }

    /// Unmounts and unmaps a device, if it still is what it was and nobody uses it. The kernel itself refuses to unmap what is in use.
    async fn let_go(
        &self,
        number: u32,
        image_id: &str,
        mounts: &[String],
    ) -> Result<(), HostError> {
        let quoted: Vec<String> = mounts.iter().map(|at| quote(at)).collect::<Result<_, _>>()?;
        let script = format!(
            r#"set -e; LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin
d=/sys/bus/rbd/devices/{number}
[ -d "$d" ] || exit 0
[ "$(cat "$d/image_id")" = {id} ] || {{ echo "/dev/rbd{number} is another image by now" >&2; exit 1; }}
for at in {mounts}; do umount "$at"; rmdir "$at" 2>/dev/null || :; done
f=/sys/bus/rbd/remove_single_major; [ -e "$f" ] || f=/sys/bus/rbd/remove
echo {number} >"$f"
"#,
            id = quote(image_id)?,
            mounts = quoted.join(" "),
        );
        self.shell("sh -s", script.as_bytes(), LET_GO).await.map(drop)
    }

    /// Asks Docker for a volume. Docker forgets what it knew of one that its driver does not have; nothing is removed.
    async fn forget_volume(&self, name: &str) -> Result<(), HostError> {
        let docker = self.docker()?;
        let mut pause = Duration::from_millis(200);
        let asks = async {
            loop {
                match docker.inspect_volume(name).await {
                    Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
                    // bollard cannot read what our driver says of one, which is that it is there
                    Ok(_) | Err(Error::JsonDataError { .. }) => {}
                    Err(error) => return Err(self.docker_error("look for a volume", &error)),
                }
                // for a few seconds the driver gives the answer again that it had from Ceph
                tokio::time::sleep(pause).await;
                pause *= 2;
                if pause > FORGET {
                    return Err(HostError::new(format!("its Docker still has a volume {name}"))
                        .hint(format!("somebody has made it again, or the driver there does not reach Ceph: `cephdock volume inspect {name}` shows which"),
                        ));
                }
            }
        };
        let late = |_| docker_late("say whether it still has the volume", LOOK);
        timeout(LOOK, asks).await.map_err(late)?
    }

    /// Holds a mounted filesystem still. It thaws after [`THAW_SECONDS`] by itself, by a process that is started before
    /// and that ends with [`thaw`](Self::thaw): this is its id.
    async fn freeze(&self, at: &str) -> Result<String, HostError> {
        let at = quote(at)?;
        let script = format!(
            r#"set -e; PATH=$PATH:/usr/sbin:/sbin
setsid sh -c 'sleep {THAW_SECONDS}; fsfreeze -u "$1"' thaw {at} </dev/null >/dev/null 2>&1 &
echo $!
fsfreeze -f {at}
"#
        );
        let out = self.shell("sh -s", script.as_bytes(), LET_GO).await?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// Lets it go on. An error: it was not frozen any more.
    async fn thaw(&self, at: &str, by_itself: &str) -> Result<(), HostError> {
        let script = format!(
            "PATH=$PATH:/usr/sbin:/sbin; fsfreeze -u {} || exit 1\nkill -- -{} 2>/dev/null || :\n",
            quote(at)?,
            quote(by_itself)?
        );
        self.shell("sh -s", script.as_bytes(), LET_GO).await.map(drop)
    }

    /// Grows a mounted filesystem to what its device has.
    async fn grow_filesystem(&self, to: &Online) -> Result<(), HostError> {
        let command = match to.fs {
            Fs::Ext4 => format!("resize2fs {}", quote(&to.device)?),
            Fs::Xfs => format!("xfs_growfs {}", quote(&to.at)?),
        };
        let script = format!("PATH=$PATH:/usr/sbin:/sbin; {command} >/dev/null\n");
        self.shell("sh -s", script.as_bytes(), GROW).await.map(drop)
    }
}

fn container(c: ContainerSummary) -> Container {
    let names = c.names.unwrap_or_default();
    let name = names.first().map_or("", |n| n.trim_start_matches('/')).to_owned();
    let ended = [State::CREATED, State::EXITED, State::DEAD].map(Some);
    let of_a_driver = |m: bollard::models::MountPoint| {
        let driver = m.driver.filter(|d| !d.is_empty() && d != "local")?;
        Some(Reference { name: m.name?, driver })
    };
    Container {
        name,
        running: !ended.contains(&c.state),
        volumes: c.mounts.unwrap_or_default().into_iter().filter_map(of_a_driver).collect(),
    }
}

fn out_of_reach() -> HostError {
    HostError::new("the node cannot be reached any more")
        .hint("run the same command again once it answers")
}

/// What librbd means by an error number.
fn explain(errno: i32, said: &str) -> HostError {
    let error = HostError::new(said.to_owned());
    match errno {
        16 => error.hint("somebody has just begun to use it; `cephdock volume inspect` says who"),
        30 => error.hint("nobody may change it while it is mapped exclusively: stop the containers that use it first"),
        39 => error.hint("it has snapshots, or volumes were made from them: remove those first (`cephdock volume inspect` names them)"),
        28 | 122 => error.hint("there is no room left: add OSDs, or remove what nobody needs"),
        107 | 110 => error.hint("Ceph does not answer in time: `cephdock status` says how it is"),
        _ => error,
    }
}

impl Fleet<Node> {
    /// Looks at all nodes at once, and then asks Ceph: of all volumes, or of what has to do with `name`.
    pub async fn look_at_volumes(&self, want: &Inventory, name: Option<&str>) -> Facts {
        let looks = self.hosts.iter().map(|(name, host)| async move {
            let seen = match host {
                Ok(host) => host.look_at_volumes().await,
                Err(error) => Err(error.clone()),
            };
            (name.clone(), seen.map_or_else(|e| Seen::Unknown(e.sentence()), Seen::Value))
        });
        let nodes: BTreeMap<NodeName, Seen<NodeVolumes>> =
            futures_util::future::join_all(looks).await.into_iter().collect();
        let pools = vec![want.cluster.pool.name.clone()];
        let addresses = want.nodes.iter().map(|n| (n.name.clone(), n.address)).collect();
        let mut facts = Facts { pools, cluster: Seen::Absent, nodes, addresses };
        let ask = json!({"do": "look", "pools": facts.pools, "name": name});
        facts.cluster = match self.ask_rbd(&facts, &ask, ASK).await {
            Ok(answer) => match serde_json::from_value::<ClusterVolumes>(answer) {
                Ok(cluster) => Seen::Value(cluster),
                Err(error) => Seen::Unknown(format!("its answer cannot be read: {error}")),
            },
            Err(error) => Seen::Unknown(error.what),
        };
        facts
    }

    /// Asks Ceph through the mons' containers, one after another until one answers.
    async fn ask_rbd(
        &self,
        facts: &Facts,
        ask: &Value,
        deadline: Duration,
    ) -> Result<Value, HostError> {
        let mut failed = HostError::new("no mon runs on the nodes that were reached").hint(NO_MON);
        for (name, host) in self.mons(facts) {
            match host.rbd(ask, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    failed =
                        HostError { what: format!("asked through {name}: {}", error.what), ..error }
                }
            }
        }
        Err(failed)
    }

    fn mons<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = (&'a NodeName, &'a Node)> {
        let mons = facts.seen().filter(|(_, node)| node.mon);
        mons.filter_map(|(name, _)| Some((name, self.get(name)?.as_ref())))
    }

    /// Changes an image, told by its id: `what` is what `rbd.py` calls it, with what it takes.
    ///
    /// # Errors
    /// No mon runs, Ceph refused, the image is another one by now, or there was no answer in time: then it may have been done.
    pub async fn change_image(
        &self,
        facts: &Facts,
        target: &Target,
        what: &str,
        more: &Value,
    ) -> Result<(), HostError> {
        let mut ask =
            json!({"do": what, "pool": target.pool, "image": target.name, "id": target.id});
        if let (Some(ask), Some(more)) = (ask.as_object_mut(), more.as_object()) {
            ask.extend(more.clone());
        }
        // through one mon only: what failed there may have been done
        let (_, host) =
            self.mons(facts).next().ok_or_else(|| HostError::new("no mon runs").hint(NO_MON))?;
        host.rbd(&ask, CHANGE).await.map(drop)
    }

    /// Asks the Dockers of `nodes` for a volume that is gone. Gives those that did not forget it.
    pub async fn forget_volume(
        &self,
        nodes: &[NodeName],
        name: &str,
    ) -> Vec<(NodeName, HostError)> {
        let asks = nodes.iter().map(|node| async move {
            let error = self.get(node)?.forget_volume(name).await.err()?;
            Some((node.clone(), error))
        });
        futures_util::future::join_all(asks).await.into_iter().flatten().collect()
    }

    /// Does one cure.
    ///
    /// # Errors
    /// The node is out of reach, or what was found is not so any more; nothing is forced.
    pub async fn cure(&self, facts: &Facts, cure: &Cure) -> Result<(), HostError> {
        let host = |node: &NodeName| self.get(node).ok_or_else(out_of_reach);
        match cure {
            Cure::LetGo { node, number, image_id, mounts } => {
                host(node)?.let_go(*number, image_id, mounts).await
            }
            Cure::Forget { node, name } => host(node)?.forget_volume(name).await,
            Cure::Remove(target) => self.change_image(facts, target, "remove", &Value::Null).await,
            Cure::BreakLock { target, lock } => {
                let more =
                    json!({"client": lock.client, "cookie": lock.cookie, "address": lock.address});
                self.change_image(facts, target, "break-lock", &more).await
            }
        }
    }

    /// Makes a snapshot; where the image is mounted, with its filesystem held still. `Ok(false)`: it had thawed before the snapshot
    /// was made, which then is as after a power cut.
    ///
    /// # Errors
    /// The filesystem could not be held still, or Ceph refused. It thaws by itself in either case.
    pub async fn snapshot(
        &self,
        facts: &Facts,
        target: &Target,
        snapshot: &str,
        mounted: Option<&Online>,
    ) -> Result<bool, HostError> {
        let more = json!({ "snapshot": snapshot });
        let snap = self.change_image(facts, target, "snap-create", &more);
        let Some(mounted) = mounted else { return snap.await.map(|()| true) };
        let host = self.get(&mounted.node);
        let host = host.ok_or_else(out_of_reach)?;
        let by_itself = host.freeze(&mounted.at).await?;
        let made = snap.await;
        let thawed = host.thaw(&mounted.at, &by_itself).await;
        made.map(|()| thawed.is_ok())
    }

    /// Grows a mounted filesystem.
    ///
    /// # Errors
    /// The node is out of reach, or its tools refused.
    pub async fn grow_filesystem(&self, to: &Online) -> Result<(), HostError> {
        let host = self.get(&to.node);
        let host = host.ok_or_else(out_of_reach)?;
        host.grow_filesystem(to).await
    }
}
