//! `plan`: what `up` would do. Looks only; a new cluster's identity is made up for the occasion and forgotten.

use super::{Exit, Session, complete, load, look, mint, planned, print_refusal};
use crate::cli::{Global, Plan as Options};
use crate::converge::{Planner, adopt};
use crate::inventory::file::Loaded;
use crate::report::{Look, PlanView};

pub(super) async fn run(global: &Global, options: &Options) -> Exit {
    let Options { check } = *options;
    let look = look(global);
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    show(loaded, look, check, planned).await
}

/// Looks at the nodes and shows what a planner makes of it.
pub(super) async fn show(loaded: Loaded, look: Look, check: bool, planner: impl Planner) -> Exit {
    let loaded = match complete(loaded, look, false) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let session = Session::open(loaded, look, true).await;
    let facts = session.fleet.observe().await;
    let want = session.want.clone();
    session.close().await;
    let outcome = adopt(&want, &facts).and_then(|id| {
        let id = id.unwrap_or_else(|| mint(&want));
        planner(&want, &facts, &id)
    });
    match outcome {
        Err(refusal) => print_refusal(look, &refusal),
        Ok(plan) => {
            look.print_plan(&PlanView::of(&plan, &facts));
            let held_up = plan.waiting.iter().any(|w| w.holds_up);
            if check && (!plan.is_empty() || held_up) { Exit::NotThere } else { Exit::Done }
        }
    }
}
