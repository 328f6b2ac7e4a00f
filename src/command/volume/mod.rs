//! `volume`: one file a command. All look at all nodes and then at Ceph; what changes something decides by pure functions.

use std::io::IsTerminal;

use super::{Exit, Session, load, look};
use crate::cli::{Global, Snap, Volume};
use crate::host::HostError;
use crate::report::{Failure, Look};
use crate::volume::check_name;
use crate::volume::fleet::change::{Kind, Refusal};

mod grow;
mod remove;
mod show;
mod snap;
mod test;
mod unstick;

pub(super) async fn run(global: &Global, command: Volume) -> Exit {
    let look = look(global);
    if let Some(name) = name_of(&command)
        && let Err(wrong) = check_name(name)
    {
        return fail(look, Exit::Usage, wrong.what, Some(wrong.hint));
    }
    if asks(&command) && !global.yes && (global.json || !std::io::stdin().is_terminal()) {
        let what = "there is no terminal to ask for the name on".to_owned();
        return fail(look, Exit::Usage, what, Some("in scripts, say `--yes`".into()));
    }
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let session = Session::open(loaded, look, true).await;
    let exit = match &command {
        Volume::Ls => show::list(&session, look).await,
        Volume::Inspect(of) => show::inspect(&session, look, &of.name).await,
        Volume::Rm(of) => remove::run(&session, look, global.yes, &of.name).await,
        Volume::Grow(options) => grow::run(&session, look, options).await,
        Volume::Snap { command } => snap::run(&session, look, global.yes, command).await,
        Volume::Unstick(options) => unstick::run(&session, look, global.yes, options).await,
        Volume::Test => test::run(&session, look).await,
    };
    session.close().await;
    exit
}

/// The name of what is to be changed.
fn name_of(command: &Volume) -> Option<&str> {
    match command {
        // images with other names may be looked at too
        Volume::Ls | Volume::Test | Volume::Inspect(_) | Volume::Snap { command: Snap::Ls(_) } => {
            None
        }
        Volume::Rm(of) => Some(&of.name),
        Volume::Grow(options) => Some(&options.name),
        Volume::Snap { command: Snap::Create(of) | Snap::Rm(of) | Snap::Rollback(of) } => {
            Some(&of.name)
        }
        Volume::Unstick(options) => Some(&options.name),
    }
}

fn asks(command: &Volume) -> bool {
    match command {
        Volume::Rm(_) | Volume::Snap { command: Snap::Rm(_) | Snap::Rollback(_) } => true,
        Volume::Unstick(options) => !options.dry_run,
        _ => false,
    }
}

fn fail(look: Look, exit: Exit, what: String, hint: Option<String>) -> Exit {
    look.print_failure(&Failure { what, hint, ..Failure::default() });
    exit
}

fn failed(look: Look, what: &str, error: &HostError) -> Exit {
    fail(look, Exit::Failed, format!("{what}: {}", error.what), error.hint.clone())
}

fn refused(look: Look, refusal: &Refusal) -> Exit {
    let (last, others) = refusal.what.split_last().map_or(("", &[][..]), |(l, o)| (l, o));
    for what in others {
        fail(look, Exit::Refused, what.clone(), None);
    }
    let exit = match refusal.kind {
        Kind::Failed => Exit::Failed,
        Kind::Usage => Exit::Usage,
        Kind::Refused => Exit::Refused,
    };
    fail(look, exit, last.to_owned(), Some(refusal.hint.clone()))
}

/// Asks for a name. Only who has read it can type it.
fn agreed(look: Look, yes: bool, question: &str, name: &str) -> bool {
    let said = || look.ask(question).is_some_and(|answer| answer.trim() == name);
    let agreed = yes || said();
    if !agreed {
        look.print_error("that is not its name: nothing was changed");
    }
    agreed
}

/// Says what was done: a sentence, or one JSON object.
fn done(look: Look, event: &str, name: &str, sentence: &str) -> Exit {
    if look.json {
        look.print_json(&serde_json::json!({"event": event, "volume": name, "said": sentence}));
    } else if !look.quiet {
        look.print(&format!("{sentence}\n"));
    }
    Exit::Done
}
