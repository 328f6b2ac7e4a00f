//! Nodes whose firewalls let nobody in.

use cephdock::event::Events;
use cephdock::facts::firewall::Running;
use cephdock::host::{Host, StepReport};
use cephdock::plan::FirewallManager;
use sim::firewall::Firewall;

use super::*;

const MANAGERS: [FirewallManager; 2] = [FirewallManager::Firewalld, FirewallManager::Ufw];

/// Three nodes on which it runs.
fn behind(manager: FirewallManager) -> Sim {
    let sim = Sim::new(THREE);
    for node in ["B1", "B2", "B3"] {
        sim.node(node, |n| n.firewall = Some(Firewall::new(manager)));
    }
    sim
}

fn change(sim: &Sim, node: &str, change: impl FnOnce(&mut Firewall)) {
    sim.node(node, |n| change(n.firewall.as_mut().expect("it has one")));
}

/// The ports that are open on each node, now and after a restart.
fn open(sim: &Sim) -> Vec<Vec<String>> {
    let world = sim.world();
    let nodes = world.nodes.values().filter_map(|n| n.firewall.as_ref());
    let ports = nodes.map(|firewall| {
        assert_eq!(firewall.live, firewall.permanent);
        firewall.live.iter().map(|r| format!("{} {}", r.network, r.ports)).collect()
    });
    ports.collect()
}

fn assert_open(sim: &Sim, what: &str) {
    let all = ["3300", "6789", "6800-7300"].map(|ports| format!("10.32.3.0/24 {ports}"));
    assert_eq!(open(sim), [&all, &all, &all], "{what}");
}

#[tokio::test(start_paused = true)]
async fn are_opened_before_the_daemons_start() {
    for manager in MANAGERS {
        let sim = behind(manager);
        done(sim.up(1).await);
        assert_open(&sim, "after up");
        assert_whole(&sim, "behind firewalls").await;
    }
}

/// The simulation keeps out what the tests here say is let in.
#[tokio::test(start_paused = true)]
async fn that_are_left_alone_let_no_cluster_form() {
    let mut sim = behind(FirewallManager::Firewalld);
    sim.wants(&format!("{THREE}firewall: off\n"));
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(!matches!(run.end, End::Done), "{:?}", run.end);
    assert_eq!(open(&sim), [[""; 0]; 3]);
}

#[tokio::test(start_paused = true)]
async fn are_opened_by_the_next_run_whenever_one_is_killed() {
    for manager in MANAGERS {
        let steps = done(behind(manager).up(1).await);
        for at in 0..steps {
            for fault in &CUTS {
                let what = format!("{fault:?} at step {at} behind {manager:?}");
                let sim = behind(manager);
                cut(&sim, at, fault);
                assert!(sim.up(1).await.is_none(), "{what}");
                done(sim.up(2).await);
                assert_open(&sim, &what);
                assert_whole(&sim, &what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn get_back_a_rule_that_was_taken_away() {
    for manager in MANAGERS {
        let sim = behind(manager);
        done(sim.up(1).await);
        change(&sim, "B1", |f| drop(f.live.pop_first()));
        change(&sim, "B2", |f| {
            f.permanent.pop_last();
        });
        assert!(done(sim.up(2).await) >= 2);
        assert_open(&sim, "put back");
    }
}

/// firewalld ends in the middle, stays away, and comes back.
#[tokio::test(start_paused = true)]
async fn that_stop_in_the_middle() {
    let sim = behind(FirewallManager::Firewalld);
    sim.on_step(|_, node, action| {
        let opens = node.as_str() == "B2" && matches!(action, Action::OpenPorts(_));
        if opens { Fault::Fail("FirewallD is not running") } else { Fault::None }
    });
    let run = sim.up(1).await.expect("the run was not killed");
    let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(failures[0].what, "open 3300, 6789, 6800-7300/tcp in firewalld");
    change(&sim, "B2", |f| f.running = Running::No);
    done(sim.up(2).await);
    change(&sim, "B2", |f| f.running = Running::Yes);
    done(sim.up(3).await);
    assert_open(&sim, "it runs again");
    assert_whole(&sim, "it runs again").await;
}

#[tokio::test(start_paused = true)]
async fn that_do_not_answer_leave_their_node_alone() {
    let sim = behind(FirewallManager::Firewalld);
    let silent = || Running::Silent("no answer".into());
    change(&sim, "B2", |f| f.running = silent());
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Refused(_)), "{:?}", run.end);
    assert!(sim.world().done.is_empty());
    change(&sim, "B2", |f| f.running = Running::Yes);
    done(sim.up(2).await);
    // in a cluster that runs, the others are worked on
    change(&sim, "B2", |f| f.running = silent());
    change(&sim, "B1", |f| drop(f.live.pop_first()));
    let run = sim.up(3).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Partly), "{:?}", run.end);
    change(&sim, "B2", |f| f.running = Running::Yes);
    assert_open(&sim, "B1 was put right");
}

/// What `reset` takes out: everything of ours, from a firewall that is stopped too.
#[tokio::test(start_paused = true)]
async fn lose_all_of_ours_and_nothing_else() {
    for (manager, running) in
        MANAGERS.into_iter().flat_map(|m| [(m, Running::Yes), (m, Running::No)])
    {
        let sim = behind(manager);
        done(sim.up(1).await);
        change(&sim, "B1", |f| {
            f.running = running;
            if manager == FirewallManager::Firewalld && f.running == Running::No {
                f.live.clear();
            }
        });
        let fleet = sim.fleet();
        let host = fleet.get(&name("B1")).expect("it is there");
        let facts = host.observe().await.expect("it has power");
        let (_, hopeless) = tokio::sync::watch::channel(None);
        let report = StepReport { events: Events::nowhere(), node: name("B1"), step: 0, hopeless };
        for step in cephdock::plan::firewall::close(&facts).expect("it answers") {
            host.perform(&step.action, &report).await.expect("it can be done");
        }
        assert_eq!(open(&sim)[0], [""; 0], "{manager:?}");
        let facts = host.observe().await.expect("it has power");
        assert_eq!(cephdock::plan::firewall::close(&facts), Ok(Vec::new()));
    }
}
