//! `volume test`: one node writes, the others read it in turn. Everything that it makes has a name of its own, and goes
//! again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Exit, Look, Session, fail};
use crate::command::CtrlC;
use crate::host::{HostError, Node};
use crate::inventory::{NodeName, VolumeDriver};
use crate::volume::fleet::proof::{File, PREFIX, Trial, Turn};

/// How often a volume is tried that the node before has not let go of yet, and how long in between.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_secs(2);
/// Room for a filesystem.
const SIZE: &str = "64MiB";

pub(super) async fn run(session: &Session, look: Look) -> Exit {
    let (driver, options): (String, &[(&str, &str)]) = match &session.want.volumes.driver {
        VolumeDriver::Cephdock => ("cephdock".into(), &[("size", SIZE)]),
        VolumeDriver::Plugin(reference) => (crate::image::tagged(reference), &[]),
        VolumeDriver::None => {
            let what = "the inventory has no volume driver: `volumes: {driver: none}`".into();
            let hint = "take the line out, and run `cephdock up`";
            return fail(look, Exit::Usage, what, Some(hint.into()));
        }
    };
    let mut trial = Trial {
        volume: format!("{PREFIX}{}", random()),
        driver,
        nodes: Vec::new(),
        left: Vec::new(),
    };
    let without = without_driver(session, &trial.driver).await;
    let ctrl_c = CtrlC::listen(&session.events);
    let mut stop = ctrl_c.stop.clone();
    let mut touched = Touched::default();
    let mut file = File::default();
    for node in session.want.nodes.iter().map(|n| &n.name) {
        let begun = Instant::now();
        let mut turn = Turn {
            node: node.clone(),
            did: None,
            seconds: None,
            sha256: None,
            error: None,
            hint: None,
        };
        let attempted = tokio::select! {
            biased;
            // Docker looks for a driver that is not there for many seconds
            () = std::future::ready(()), if without.contains(node) => Err(no_driver()),
            attempted = attempt(session, &mut touched, &trial, node, &file, options) => attempted,
            _ = stop.changed() => break,
        };
        match attempted {
            Ok((next, sum)) => {
                turn.did = Some(if file.is_empty() { "wrote it" } else { "read it, added a line" });
                turn.seconds = Some(begun.elapsed().as_secs_f64());
                turn.sha256 = Some(sum);
                file = next;
            }
            Err(error) => (turn.error, turn.hint) = (Some(error.what), error.hint),
        }
        look.print_turn(&turn);
        trial.nodes.push(turn);
    }
    let stopped = *stop.borrow();
    if stopped {
        look.print_error("stopped; what was made is removed (Ctrl-C again leaves it)");
    }
    trial.left = clean_up(session, &touched, &trial).await;
    drop(ctrl_c);
    look.print_trial(&trial);
    match () {
        () if stopped => Exit::Stopped,
        () if trial.passed() => Exit::Done,
        () => Exit::Failed,
    }
}

/// Nodes that were reached and on which nothing listens where Docker looks for cephdock's driver.
async fn without_driver(session: &Session, driver: &str) -> Vec<NodeName> {
    if driver != "cephdock" {
        return Vec::new();
    }
    let facts = session.fleet.look_at_volumes(&session.want, Some(PREFIX)).await;
    facts.seen().filter(|(_, node)| !node.driver).map(|(name, _)| name.clone()).collect()
}

fn no_driver() -> HostError {
    HostError::new("cephdock's volume driver does not run there")
        .hint("`cephdock up` installs it; its unit is cephdock-volume-driver")
}

/// What there may be to clean up.
#[derive(Default)]
struct Touched {
    /// Nodes on which the volume may be known or a container be there.
    nodes: Vec<NodeName>,
    /// The volume may be there.
    volume: bool,
}

/// One node's turn.
async fn attempt(
    session: &Session,
    touched: &mut Touched,
    trial: &Trial,
    node: &NodeName,
    file: &File,
    options: &[(&str, &str)],
) -> Result<(File, String), HostError> {
    let host = match session.fleet.hosts.get(node) {
        Some(Ok(host)) => host,
        Some(Err(error)) => return Err(error.clone()),
        None => return Err(HostError::new("it is not in the inventory")),
    };
    let (name, driver) = (&trial.volume, &trial.driver);
    touched.nodes.push(node.clone());
    let image = host.trial_image(name).await?;
    if file.is_empty() {
        // before the attempt: one that fails may have made it
        touched.volume = true;
        host.make_volume(name, driver, options).await?;
    }
    let mut tries = 0;
    let said = loop {
        tries += 1;
        let said = host.run_trial(name, &image, driver, &file.script(node)).await;
        // which is what lets go of the volume
        let ended = host.end_trial(name).await;
        match said {
            // the node before is still at letting go of it
            Err(error) if tries < TRIES && error.what.contains("in use") => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => break Err(error),
            Ok(said) => break ended.map(|()| said),
        }
    }?;
    file.after(node, &said).map_err(HostError::new)
}

/// Removes all that was made. Gives what could not be removed, a phrase each.
async fn clean_up(session: &Session, touched: &Touched, trial: &Trial) -> Vec<String> {
    let name = &trial.volume;
    let mut left = Vec::new();
    let hosts: Vec<(&NodeName, &Node)> =
        touched.nodes.iter().filter_map(|n| Some((n, session.fleet.get(n)?.as_ref()))).collect();
    for (node, host) in &hosts {
        if let Err(error) = host.end_trial(name).await {
            left.push(format!("the container {name} on {node}: {}", error.what));
        }
        if let Err(error) = host.remove_trial_image(name).await {
            left.push(format!("the image {name} on {node}: {}", error.what));
        }
    }
    if touched.volume {
        let mut failed = None;
        for (node, host) in &hosts {
            match host.remove_trial_volume(name).await {
                Ok(()) => {
                    failed = None;
                    break;
                }
                Err(error) => {
                    failed = Some(format!("the volume {name} (asked on {node}): {}", error.what));
                }
            }
        }
        left.extend(failed);
    }
    // the others' Dockers have heard of it too
    let nodes: Vec<NodeName> = hosts.iter().map(|(node, _)| (*node).clone()).collect();
    if left.is_empty() {
        for (node, error) in session.fleet.forget_volume(&nodes, name).await {
            left.push(format!("what Docker on {node} knows of it: {}", error.what));
        }
    }
    left
}

/// A name that nothing else has.
fn random() -> String {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("every Linux gives random bytes");
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
