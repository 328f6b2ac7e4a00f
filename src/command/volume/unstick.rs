//! `volume unstick`: looks, shows what keeps a name from being used, asks, cures, and looks again.

use super::{Exit, Look, Session, agreed, done, fail};
use crate::cli::Unstick;
use crate::volume::fleet::Facts;
use crate::volume::fleet::unstick::{Cure, Plan, plan};

pub(super) async fn run(session: &Session, look: Look, yes: bool, options: &Unstick) -> Exit {
    let Unstick { name, dry_run } = options;
    let (facts, found) = match see(session, name).await {
        Ok(seen) => seen,
        Err(why) => return cannot(look, name, &why),
    };
    look.print_unstick(name, &found);
    if *dry_run || found.cures().is_empty() {
        return ended(&found);
    }
    if !agreed(look, yes, "Type the volume's name to do this:", name) {
        return Exit::Refused;
    }
    // what was right when it was shown may not be any more
    let (facts, again) = if yes {
        (facts, found.clone())
    } else {
        match see(session, name).await {
            Ok(seen) => seen,
            Err(why) => return cannot(look, name, &why),
        }
    };
    let agreed: Vec<&Cure> = found.cures();
    let cures = again.cures().into_iter().filter(|cure| agreed.contains(cure));
    let mut all = true;
    let mut forgotten = Vec::new();
    for cure in cures {
        let ended = session.fleet.cure(&facts, cure).await;
        let error = ended.as_ref().err().map(crate::host::HostError::sentence);
        all &= error.is_none();
        if error.is_none() && matches!(cure, Cure::Forget { .. }) {
            forgotten.push(cure.clone());
        }
        look.print_cure(cure, error.as_deref());
    }
    if !all {
        return Exit::Failed;
    }
    let left = match see(session, name).await {
        Ok((_, left)) => left.without(&forgotten),
        Err(why) => return cannot(look, name, &why),
    };
    if left.findings.is_empty() {
        return done(look, "unstuck", name, &format!("nothing holds the name {name} any more"));
    }
    look.print_unstick(name, &left);
    Exit::NotThere
}

async fn see(session: &Session, name: &str) -> Result<(Facts, Plan), String> {
    let facts = session.fleet.look_at_volumes(&session.want, Some(name)).await;
    plan(&facts, name).map(|plan| (facts, plan))
}

fn cannot(look: Look, name: &str, why: &str) -> Exit {
    let what =
        format!("what is stale about {name} cannot be told while Ceph cannot be asked: {why}");
    fail(look, Exit::Refused, what, Some("`cephdock status` says what is wrong".into()))
}

fn ended(plan: &Plan) -> Exit {
    if plan.findings.is_empty() { Exit::Done } else { Exit::NotThere }
}
