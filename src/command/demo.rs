//! `demo`: a cluster in one container of this machine's own Docker, and its removal.

use std::time::Instant;

use tokio::sync::watch;

use super::{Exit, look};
use crate::cli::{Demo, Global};
use crate::demo::{self, Local, Refused, Seen, Step, spec};
use crate::event::{Event, Events, Goal, StageTime, Summary};
use crate::host::{HostError, StepReport};
use crate::inventory::NodeName;
use crate::inventory::file::DEFAULT_IMAGE;
use crate::report::{self, Failure, Look, Terminal};

pub(super) async fn run(global: &Global, options: &Demo) -> Exit {
    let Demo { down, image } = options;
    let look = look(global);
    let socket = match demo::socket() {
        Ok(socket) => socket,
        Err(what) => {
            let hint = "unset it, or set it to a socket: `unix:///var/run/docker.sock`";
            look.print_failure(&Failure { what, hint: Some(hint.into()), ..Failure::default() });
            return Exit::Usage;
        }
    };
    let begun = Instant::now();
    let (events, received) = Events::channel();
    let shown = tokio::spawn(report::run(look, Terminal::default(), received, false));
    let image = image.as_deref();
    let done = make(&socket, image, *down, look.json, &events).await;
    drop(events);
    drop(shown.await); // a reporter that panicked has said so itself
    match done {
        Ok(Done { steps, image }) => {
            say(look, *down, steps, begun, &image);
            Exit::Done
        }
        Err(End::Refused(refused)) => {
            print(look, refused.to_string(), Some(refused.hint()), Vec::new());
            if matches!(refused, Refused::Foreign(_)) { Exit::Refused } else { Exit::Failed }
        }
        Err(End::Failed(error)) => {
            print(look, error.what, error.hint, error.log);
            Exit::Failed
        }
    }
}

struct Done {
    steps: usize,
    image: String,
}

enum End {
    Refused(Refused),
    Failed(HostError),
}

impl From<HostError> for End {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

async fn make(
    socket: &std::path::Path,
    image: Option<&str>,
    down: bool,
    json: bool,
    events: &Events,
) -> Result<Done, End> {
    let begun = Instant::now();
    let local = Local::open(socket, image.unwrap_or(DEFAULT_IMAGE)).await?;
    let seen = local.look(!down).await?;
    let steps = if down { demo::down(&seen) } else { demo::up(&seen, image) };
    let steps = steps.map_err(End::Refused)?;
    events.send(Event::Planned {
        round: 1,
        stages: usize::from(!steps.is_empty()),
        steps: steps.len(),
    });
    if !steps.is_empty() {
        stage(&local, &steps, down, events).await?;
    }
    // its words for people speak of an inventory
    if json {
        events.send(Event::Summary(summary(&local.look(!down).await?, steps.len(), begun)));
    }
    Ok(Done { steps: steps.len(), image: local.image().to_owned() })
}

/// The steps, one after the other.
async fn stage(
    local: &Local,
    steps: &[Step],
    down: bool,
    events: &Events,
) -> Result<(), HostError> {
    let title = if down { "remove the demo" } else { "make the demo" };
    let begun = Instant::now();
    let (stage, node) = ("demo".to_owned(), NodeName::new(spec::NODE).map_err(HostError::new)?);
    events.send(Event::StageStarted {
        stage: stage.clone(),
        title: title.into(),
        steps: steps.len(),
    });
    let (_never, hopeless) = watch::channel(None);
    let mut result = Ok(());
    for (number, step) in (1..).zip(steps) {
        let (node, what, started) = (node.clone(), step.to_string(), Instant::now());
        let why = String::new();
        events.send(Event::StepStarted {
            node: node.clone(),
            step: number,
            what: what.clone(),
            why,
        });
        let report = StepReport {
            events: events.clone(),
            node: node.clone(),
            step: number,
            hopeless: hopeless.clone(),
        };
        result = local.perform(step, &report).await;
        let Err(error) = &result else {
            let seconds = started.elapsed().as_secs_f64();
            events.send(Event::StepFinished { node, step: number, what, seconds });
            continue;
        };
        let (log, hint) = (error.log.clone(), error.hint.clone());
        events.send(Event::StepFailed {
            node,
            step: number,
            what,
            error: error.what.clone(),
            log,
            hint,
        });
        break;
    }
    let seconds = begun.elapsed().as_secs_f64();
    events.send(Event::StageFinished { stage, seconds, ok: result.is_ok() });
    result
}

fn summary(seen: &Seen, steps: usize, begun: Instant) -> Summary {
    let seconds = begun.elapsed().as_secs_f64();
    Summary {
        goal: Goal::Inventory,
        fsid: seen.cluster.as_ref().map(|c| c.fsid.to_string()),
        health: seen.cluster.as_ref().map(|c| c.health.clone()),
        steps,
        converged: true,
        seconds,
        stages: vec![StageTime { title: "demo".into(), seconds }],
        unreachable: Vec::new(),
        remaining: Vec::new(),
    }
}

/// What people read at the end.
fn say(look: Look, down: bool, steps: usize, begun: Instant, image: &str) {
    if look.json || look.quiet {
        return;
    }
    let seconds = begun.elapsed().as_secs();
    look.print(&match (down, steps) {
        (true, 0) => "Nothing to remove: there is no demo here.\n".to_owned(),
        (true, _) => "The demo is gone, and all that was in it.\n".to_owned(),
        (false, 0) => {
            format!("Nothing to do: the demo runs (HEALTH_OK).\n\n{}", spec::usage(image))
        }
        (false, _) => format!("\nDone in {seconds} s (HEALTH_OK).\n\n{}", spec::usage(image)),
    });
}

fn print(look: Look, what: String, hint: Option<String>, log: Vec<String>) {
    look.print_failure(&Failure { what, log, hint, ..Failure::default() });
}
