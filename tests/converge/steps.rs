//! Steps that fail, have no effect, or are stopped by the user.

use super::*;

fn runs(action: &Action, kind: Kind) -> bool {
    matches!(action, Action::Run(spec) if spec.daemon.kind == kind)
}

#[tokio::test(start_paused = true)]
async fn that_fail_leave_their_siblings_alone_and_the_next_run_goes_on() {
    let sim = Sim::new(THREE);
    sim.on_step(|_, node, action| {
        let fails = node.as_str() == "B2" && runs(action, Kind::Osd);
        if fails { Fault::Fail("the daemon's socket is gone") } else { Fault::None }
    });
    let run = sim.up(1).await.expect("the run was not killed");
    let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].node.as_str(), failures[0].what.as_str()), ("B2", "start osd.1"));
    {
        let world = sim.world();
        let made: Vec<usize> = world.nodes.values().map(|n| n.containers.len()).collect();
        assert_eq!(made, [3, 2, 2], "siblings were started and nothing was undone");
    }
    done(sim.up(2).await);
    assert_whole(&sim, "after a failed step").await;
}

#[tokio::test(start_paused = true)]
async fn of_every_kind_may_fail_once() {
    let steps = done(Sim::new(THREE).up(1).await);
    for at in 0..steps {
        let what = format!("step {at} fails");
        let sim = Sim::new(THREE);
        cut(&sim, at, &Fault::Fail("no luck"));
        let run = sim.up(1).await.expect("the run was not killed");
        let failed = matches!(&run.end, End::Failed(f) if f[0].error.what == "no luck");
        assert!(failed, "{what}: {:?}", run.end);
        done(sim.up(2).await);
        assert_whole(&sim, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_run_are_finished_when_the_user_stops() {
    let steps = done(Sim::new(THREE).up(1).await);
    for at in 0..steps {
        let sim = Sim::new(THREE);
        cut(&sim, at, &Fault::Stop);
        let run = sim.up(1).await.expect("the run was not killed");
        // at the very end there is nothing left to stop
        assert!(matches!(run.end, End::Stopped | End::Done), "step {at}: {:?}", run.end);
        assert!(at > 0 || matches!(run.end, End::Stopped));
        if matches!(run.end, End::Stopped) {
            assert!(!run.summary.remaining.is_empty(), "step {at}: it says what is left");
        }
        done(sim.up(2).await);
        assert_whole(&sim, &format!("stopped at step {at}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_have_no_effect_end_the_run() {
    let sim = Sim::new(THREE);
    sim.on_step(|_, node, action| {
        let conf = matches!(action, Action::WriteFiles(f) if f[0].path == "/etc/ceph/ceph.conf");
        if node.as_str() == "B3" && conf { Fault::Ignore } else { Fault::None }
    });
    let run = sim.up(1).await.expect("the run was not killed");
    // the second time, only B3's files are planned; the third time, the same again
    let End::NoProgress(stage) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(stage, "prepare the nodes");
    done(sim.up(2).await);
    assert_whole(&sim, "after no progress").await;
}
