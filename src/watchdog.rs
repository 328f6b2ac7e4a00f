//! Watches over daemons while a stage waits for them: one that falls over again and again will not come up by waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::daemon::DaemonId;
use crate::facts::{ContainerState, NodeFacts, Seen};
use crate::host::{Fleet, Host};
use crate::inventory::NodeName;

/// The first look, when daemons of a healthy start have long been up, and the pause between looks. A look costs a node
/// about a tenth of a second of CPU.
const FIRST: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_secs(6);
/// Docker starts a container again after 0.1 s, 0.2 s, 0.4 s, …: a daemon that has fallen this often falls by itself.
const FALLS: u64 = 4;

/// Resolves when a daemon keeps falling over; never, otherwise. What it did before somebody looked does not count: Docker
/// waits for up to a minute before it tries one again that has fallen often, and it may have been mended since.
pub async fn falling<H: Host>(fleet: &Fleet<H>) -> (NodeName, DaemonId) {
    let mut first: BTreeMap<(NodeName, DaemonId), u64> = BTreeMap::new();
    tokio::time::sleep(FIRST).await;
    loop {
        let facts = fleet.look().await;
        for (node, seen) in facts {
            let Seen::Value(facts) = seen else { continue };
            for (daemon, restarts, running) in restarts(&facts) {
                let first = *first.entry((node.clone(), daemon.clone())).or_insert(restarts);
                if hopeless(first, restarts, running) {
                    return (node, daemon);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a daemon that had been restarted `first` times at the first look, and `restarts` times now, has fallen since.
fn hopeless(first: u64, restarts: u64, running: bool) -> bool {
    // one that was removed and made anew begins at 0
    let since = restarts.saturating_sub(first);
    restarts >= FALLS && (since >= 2 || since == 1 && !running)
}

fn restarts(facts: &NodeFacts) -> Vec<(DaemonId, u64, bool)> {
    let containers = facts.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
    let ours = containers.iter().filter_map(|c| {
        let running = c.state == ContainerState::Running;
        c.ours.as_ref().map(|o| (o.daemon.clone(), c.restarts, running))
    });
    ours.collect()
}

#[cfg(test)]
mod tests {
    use super::hopeless;

    #[test]
    fn only_what_falls_while_it_is_watched_is_hopeless() {
        assert!(!hopeless(7, 7, false), "Docker has not tried again");
        assert!(!hopeless(7, 8, true), "it was mended meanwhile");
        assert!(hopeless(7, 8, false) && hopeless(7, 9, true));
        assert!(!hopeless(0, 2, false), "it may wait for something at its start");
        assert!(hopeless(0, 4, true));
        assert!(!hopeless(7, 1, false), "made anew");
    }
}
