//! `ceph`: a ceph command, in the container of the first mon that runs.

use super::{Exit, Session, load, look};
use crate::cli::{Ceph, Global};
use crate::daemon::DaemonId;
use crate::report::Failure;

pub(super) async fn run(global: &Global, options: &Ceph) -> Exit {
    let Ceph { args } = options;
    let look = look(global);
    let mut loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    loaded.inventory.nodes.retain(|n| n.roles.mon);
    let session = Session::open(loaded, look, true).await;
    let nodes = session.fleet.look().await;
    let runs = session.fleet.hosts.iter().find_map(|(name, host)| {
        let facts = nodes.get(name)?.value()?;
        (!facts.running_mons().is_empty()).then_some((name, host.as_ref().ok()?))
    });
    let ended = match runs {
        Some((name, host)) => {
            let mut argv = vec!["ceph".to_owned()];
            argv.extend(args.iter().cloned());
            let mut print = |said: crate::event::Said<'_>| look.pass_on(said);
            let ended = host.run_in(&DaemonId::mon(name), &argv, &mut print).await;
            ended.map_err(|e| (format!("{name}: {}", e.what), e.hint))
        }
        None => Err((
            "no mon runs on the nodes that were reached".into(),
            Some("`cephdock status` says what is there".into()),
        )),
    };
    session.close().await;
    match ended {
        Ok(0) => Exit::Done,
        Ok(_) => Exit::Failed, // ceph has said why
        Err((what, hint)) => {
            look.print_failure(&Failure { what, hint, ..Failure::default() });
            Exit::Failed
        }
    }
}
