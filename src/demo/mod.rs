//! `cephdock demo`: a whole cluster of one node in one container of this machine's own Docker.
//!
//! It shares the daemons' own scripts, the waits and the events with `up`, and nothing else: no SSH, no inventory, and
//! nothing on the machine but one container and one volume, both with a label of its own. The volume is what lasts: its
//! labels hold the fsid and the image, so the container can be made again from it at any time, and a run that is killed
//! is taken up by the next one.
//!
//! The container has no network at all, only its own loopback: nothing of a toy is open to anybody, no port is in the
//! way of a real cluster, and it is the same on every Docker, those in a virtual machine included. Whoever uses it does so
//! with `docker exec`.

use uuid::Uuid;

use crate::facts::{ClusterFacts, ContainerState};
use crate::plan::Condition;
use crate::plan::condition::Settled;

mod docker;
pub mod spec;

pub use docker::{Local, socket};

/// What there is under one of the demo's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing<T> {
    /// Nothing.
    Absent,
    /// Something that carries the demo's label.
    Ours(T),
    /// Something that does not.
    Foreign,
}

/// The demo's volume, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSeen {
    /// The cluster on it.
    pub fsid: Uuid,
    /// The image that it was made with.
    pub image: String,
}

/// What one look at this machine's Docker showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The volume.
    pub volume: Thing<VolumeSeen>,
    /// The container.
    pub container: Thing<ContainerState>,
    /// Whether Docker has the image that the demo takes.
    pub image: bool,
    /// What the mon says, where it answers.
    pub cluster: Option<ClusterFacts>,
}

/// Something to do, in words too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pull the image.
    Pull,
    /// Make the volume, with the fsid and the image as its labels.
    MakeVolume,
    /// Make the container and start it.
    MakeContainer,
    /// Start the container that is there.
    Start,
    /// Wait until it is so.
    Wait(Condition),
    /// Remove the container.
    RemoveContainer,
    /// Remove the volume.
    RemoveVolume,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pull => f.write_str("pull the image"),
            Self::MakeVolume => write!(f, "make the volume {}", spec::NAME),
            Self::MakeContainer | Self::Start => write!(f, "start the container {}", spec::NAME),
            Self::Wait(condition) => write!(f, "wait for {condition}"),
            Self::RemoveContainer => write!(f, "remove the container {}", spec::NAME),
            Self::RemoveVolume => write!(f, "remove the volume {}", spec::NAME),
        }
    }
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A name is taken by something that is not the demo's: the word for it.
    #[error("there is a {0} {name} that `cephdock demo` did not make", name = spec::NAME)]
    Foreign(&'static str),
    /// The demo runs with another image.
    #[error("the demo that is there was made with the image {0}")]
    OtherImage(String),
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Foreign(what) => {
                let remove = if *what == "volume" { "docker volume rm" } else { "docker rm" };
                format!(
                    "it is left alone; rename it, or `{remove} {}` if nobody needs it",
                    spec::NAME
                )
            }
            Self::OtherImage(_) => {
                "leave `--image` out, or remove the demo first with `cephdock demo --down`".into()
            }
        }
    }
}

/// What the demo waits for, in this order.
pub fn goals() -> [Condition; 2] {
    let settled =
        Settled { mons: vec![spec::NODE.to_owned()], mgrs: 1, osds: vec![0], healthy: true };
    [Condition::PoolReady(spec::POOL.to_owned()), Condition::Settled(settled)]
}

/// What is left to do. `image`: what the user asked for by `--image`.
///
/// # Errors
/// There is something else under the demo's names, or the demo there was made with another image.
pub fn up(seen: &Seen, image: Option<&str>) -> Result<Vec<Step>, Refused> {
    refuse(seen)?;
    if let (Thing::Ours(volume), Some(image)) = (&seen.volume, image)
        && volume.image != image
    {
        return Err(Refused::OtherImage(volume.image.clone()));
    }
    let mut steps = Vec::new();
    let make = seen.container == Thing::Absent || seen.volume == Thing::Absent;
    if make && !seen.image {
        steps.push(Step::Pull);
    }
    if seen.container != Thing::Absent && make {
        // it was made for a volume that somebody has removed
        steps.push(Step::RemoveContainer);
    }
    if seen.volume == Thing::Absent {
        steps.push(Step::MakeVolume);
    }
    match &seen.container {
        _ if make => steps.push(Step::MakeContainer),
        Thing::Ours(ContainerState::Dead) => {
            steps.extend([Step::RemoveContainer, Step::MakeContainer]);
        }
        Thing::Ours(ContainerState::Running | ContainerState::Restarting) => {}
        _ => steps.push(Step::Start),
    }
    let missing = |goal: &Condition| !goal.progress(seen.cluster.as_ref()).met();
    if !steps.is_empty() || goals().iter().any(missing) {
        steps.extend(goals().map(Step::Wait));
    }
    Ok(steps)
}

/// What is to be removed.
///
/// # Errors
/// There is something else under the demo's names.
pub fn down(seen: &Seen) -> Result<Vec<Step>, Refused> {
    refuse(seen)?;
    let mut steps = Vec::new();
    if seen.container != Thing::Absent {
        steps.push(Step::RemoveContainer);
    }
    if seen.volume != Thing::Absent {
        steps.push(Step::RemoveVolume);
    }
    Ok(steps)
}

/// Before anything is touched.
fn refuse(seen: &Seen) -> Result<(), Refused> {
    if seen.container == Thing::Foreign {
        return Err(Refused::Foreign("container"));
    }
    if seen.volume == Thing::Foreign {
        return Err(Refused::Foreign("volume"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::cluster::{OsdFact, PoolFact};

    fn volume() -> Thing<VolumeSeen> {
        Thing::Ours(VolumeSeen { fsid: Uuid::nil(), image: "ceph".into() })
    }

    fn nothing() -> Seen {
        Seen { volume: Thing::Absent, container: Thing::Absent, image: true, cluster: None }
    }

    fn healthy() -> Seen {
        let pool = PoolFact { size: 1, applications: vec!["rbd".into()], initialised: true };
        let osd = OsdFact {
            uuid: Uuid::nil(),
            up: true,
            inside: true,
            booted: true,
            size: None,
            drained: false,
        };
        let cluster = ClusterFacts {
            health: "HEALTH_OK".into(),
            mons: [("demo".into(), true)].into(),
            active_mgr: Some("demo".into()),
            osds: [(0, osd)].into(),
            pools: [("rbd".into(), pool)].into(),
            pgs: 32,
            pgs_clean: 32,
            ..ClusterFacts::default()
        };
        let container = Thing::Ours(ContainerState::Running);
        Seen { volume: volume(), container, image: true, cluster: Some(cluster) }
    }

    fn words(steps: &[Step]) -> Vec<String> {
        let word = |s: &Step| match s {
            Step::Wait(_) => "wait".to_owned(),
            other => format!("{other:?}"),
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn everything_is_made_and_then_nothing() {
        let fresh = Seen { image: false, ..nothing() };
        let steps = words(&up(&fresh, Some("ceph")).unwrap());
        assert_eq!(steps, ["Pull", "MakeVolume", "MakeContainer", "wait", "wait"]);
        assert_eq!(up(&healthy(), None).unwrap(), []);
        assert_eq!(up(&healthy(), Some("ceph")).unwrap(), []);
    }

    #[test]
    fn what_was_cut_off_is_taken_up() {
        for (seen, expected) in [
            (Seen { volume: volume(), ..nothing() }, vec!["MakeContainer", "wait", "wait"]),
            (
                Seen {
                    container: Thing::Ours(ContainerState::Created),
                    cluster: None,
                    ..healthy()
                },
                vec!["Start", "wait", "wait"],
            ),
            (
                Seen { container: Thing::Ours(ContainerState::Exited), cluster: None, ..healthy() },
                vec!["Start", "wait", "wait"],
            ),
            (Seen { cluster: None, ..healthy() }, vec!["wait", "wait"]),
            // its volume is gone
            (
                Seen { volume: Thing::Absent, ..healthy() },
                vec!["RemoveContainer", "MakeVolume", "MakeContainer", "wait", "wait"],
            ),
        ] {
            assert_eq!(words(&up(&seen, None).unwrap()), expected, "{seen:?}");
        }
        // the pool is made last
        let mut seen = healthy();
        seen.cluster.as_mut().unwrap().pools.clear();
        assert_eq!(words(&up(&seen, None).unwrap()), ["wait", "wait"]);
    }

    #[test]
    fn down_removes_what_is_there() {
        assert_eq!(words(&down(&healthy()).unwrap()), ["RemoveContainer", "RemoveVolume"]);
        let half = Seen { volume: volume(), ..nothing() };
        assert_eq!(words(&down(&half).unwrap()), ["RemoveVolume"]);
        assert_eq!(down(&nothing()).unwrap(), []);
    }

    #[test]
    fn what_is_not_the_demos_is_refused() {
        let container = Seen { container: Thing::Foreign, ..nothing() };
        let volume = Seen { volume: Thing::Foreign, ..healthy() };
        for seen in [&container, &volume] {
            let refused = up(seen, None).unwrap_err();
            assert!(matches!(refused, Refused::Foreign(_)) && refused.hint().contains("docker"));
            assert_eq!(down(seen).unwrap_err(), refused);
        }
        assert_eq!(up(&healthy(), Some("other")), Err(Refused::OtherImage("ceph".into())));
    }
}
