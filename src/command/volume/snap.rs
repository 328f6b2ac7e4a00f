//! `volume snap`.

use serde_json::json;

use super::{Exit, Look, Session, agreed, done, failed, refused};
use crate::cli::{Snap, SnapName};
use crate::volume::fleet::{Facts, change};

pub(super) async fn run(session: &Session, look: Look, yes: bool, command: &Snap) -> Exit {
    let (Snap::Create(SnapName { name, .. })
    | Snap::Rm(SnapName { name, .. })
    | Snap::Rollback(SnapName { name, .. })
    | Snap::Ls(crate::cli::VolumeName { name })) = command;
    let facts = session.fleet.look_at_volumes(&session.want, Some(name)).await;
    match command {
        Snap::Ls(_) => match change::snap_list(&facts, name) {
            Ok(snapshots) => {
                look.print_snapshots(name, &snapshots);
                Exit::Done
            }
            Err(refusal) => refused(look, &refusal),
        },
        Snap::Create(of) => create(session, look, &facts, of).await,
        Snap::Rm(of) => remove(session, look, &facts, of, yes).await,
        Snap::Rollback(of) => rollback(session, look, &facts, of, yes).await,
    }
}

async fn create(session: &Session, look: Look, facts: &Facts, of: &SnapName) -> Exit {
    let SnapName { name, snapshot } = of;
    let (target, mounted) = match change::snap_create(facts, name, snapshot) {
        Ok(plan) => plan,
        Err(refusal) => return refused(look, &refusal),
    };
    let made = session.fleet.snapshot(facts, &target, snapshot, mounted.as_ref()).await;
    let held = match made {
        Ok(held) => held,
        Err(error) => return failed(look, &format!("{name}@{snapshot} was not made"), &error),
    };
    let how = match (&mounted, held) {
        (None, _) => "nobody had it mounted".to_owned(),
        (Some(on), true) => format!("its filesystem was held still on {} meanwhile", on.node),
        (Some(on), false) => format!(
            "its filesystem on {} was not held still to the end, so it is as after a power cut",
            on.node
        ),
    };
    done(look, "snapshot-made", name, &format!("{name}@{snapshot} is made; {how}"))
}

async fn remove(session: &Session, look: Look, facts: &Facts, of: &SnapName, yes: bool) -> Exit {
    let SnapName { name, snapshot } = of;
    let target = match change::snap_remove(facts, name, snapshot) {
        Ok(target) => target,
        Err(refusal) => return refused(look, &refusal),
    };
    if !agreed(
        look,
        yes,
        &format!("Type the snapshot's name to remove {name}@{snapshot}:"),
        snapshot,
    ) {
        return Exit::Refused;
    }
    let more = json!({ "snapshot": snapshot });
    match session.fleet.change_image(facts, &target, "snap-remove", &more).await {
        Ok(()) => done(look, "snapshot-removed", name, &format!("{name}@{snapshot} is removed")),
        Err(error) => failed(look, &format!("{name}@{snapshot} was not removed"), &error),
    }
}

async fn rollback(session: &Session, look: Look, facts: &Facts, of: &SnapName, yes: bool) -> Exit {
    let SnapName { name, snapshot } = of;
    let target = match change::rollback(facts, name, snapshot) {
        Ok(target) => target,
        Err(refusal) => return refused(look, &refusal),
    };
    let question = format!(
        "What was written to {name} since {snapshot} will be lost. Type the volume's name to go on:"
    );
    if !agreed(look, yes, &question, name) {
        return Exit::Refused;
    }
    let more = json!({ "snapshot": snapshot });
    match session.fleet.change_image(facts, &target, "snap-rollback", &more).await {
        Ok(()) => {
            done(look, "volume-rolled-back", name, &format!("{name} is as it was at {snapshot}"))
        }
        Err(error) => failed(look, &format!("{name} was not brought back to {snapshot}"), &error),
    }
}
