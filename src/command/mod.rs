//! One file per command: the recipe, not the cooking.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::cli::{self, Cli, Command};
use crate::event::{Event, Events};
use crate::facts::Facts;
use crate::host::{Fleet, LockError, Node, OperatorLock, connect_all};
use crate::identity::Identity;
use crate::inventory::file::Loaded;
use crate::inventory::problem::Problems;
use crate::inventory::{Inventory, file};
use crate::plan::{Plan, Refusal};
use crate::report::{self, Color, Failure, Look, Screen, Stream, Terminal, run_log};
use crate::ssh::{Client, LocalSsh};

mod add_node;
mod ceph;
mod check;
mod ctrl_c;
mod demo;
mod help;
mod init;
mod logs;
mod plan;
mod plugin;
mod reset;
mod status;
mod support;
mod up;
mod volume;
mod volume_driver;

use ctrl_c::CtrlC;

/// How a command ended, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, healthy, nothing to do.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line or the inventory is wrong.
    Usage = 2,
    /// Refused, to protect data.
    Refused = 3,
    /// Not converged or not healthy.
    NotThere = 4,
    /// Stopped by Ctrl-C, as shells count it.
    Stopped = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command.
pub async fn run(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let look = look(&global);
    let exit = dispatch(global, command).await;
    if let (Exit::Failed | Exit::Refused | Exit::NotThere, Some(log)) = (exit, run_log::path())
        && !look.quiet
    {
        look.print_error(&format!("log: {}", log.display()));
    }
    exit
}

async fn dispatch(global: cli::Global, command: Command) -> Exit {
    match command {
        Command::Up(cli::Up { dry_run: true }) => {
            plan::run(&global, &cli::Plan { check: false }).await
        }
        Command::Up(options) => up::run(&global, &options).await,
        Command::AddNode(options) => add_node::run(&global, options).await,
        Command::Init(options) => init::run(&global, options).await,
        Command::Check(options) => check::run(&global, &options).await,
        Command::Plan(options) => plan::run(&global, &options).await,
        Command::Demo(options) => demo::run(&global, &options).await,
        Command::Status(options) => status::run(&global, &options).await,
        Command::Support(options) => support::run(&global, &options).await,
        Command::Logs(options) => logs::run(&global, &options).await,
        Command::Plugin(cli::Plugin::Mirror(options)) => plugin::run(&global, &options).await,
        Command::Ceph(options) => ceph::run(&global, &options).await,
        Command::Volume { command } => volume::run(&global, command).await,
        Command::VolumeDriver(options) => volume_driver::run(&global, &options).await,
        Command::Completions(options) => help::completions(&global, &options),
        Command::Man(options) => help::man(&global, &options),
        Command::Reset(options) => reset::run(&global, &options).await,
    }
}

fn look(global: &cli::Global) -> Look {
    let color = match global.color {
        cli::When::Auto => Color::Auto,
        cli::When::Always => Color::Always,
        cli::When::Never => Color::Never,
    };
    Look { json: global.json, quiet: global.quiet, verbose: global.verbose, color }
}

/// Reads the inventory. What is wrong with it is printed; then nothing is contacted.
fn load(global: &cli::Global, look: Look) -> Result<Loaded, Exit> {
    file::load(&global.inventory).map_err(|problems| print_problems(look, &problems))
}

/// Reads what the inventory only names: the image archive, the registry's password and the volume driver's program. `must`: the command may have to
/// pull, so there has to be a password; otherwise it is worth a warning. Like [`load`], before anything is contacted.
fn complete(mut loaded: Loaded, look: Look, must: bool) -> Result<Loaded, Exit> {
    let read = loaded
        .read_archive()
        .and_then(|()| loaded.read_password(must))
        .and_then(|()| loaded.read_programs(true));
    read.map_err(|problems| print_problems(look, &problems))?;
    Ok(loaded)
}

fn print_problems(look: Look, problems: &Problems) -> Exit {
    if look.json {
        look.print_json(problems);
    }
    look.print_error(&problems.render(Screen::of(Stream::Err, look.color).color));
    Exit::Usage
}

/// What every command that talks to nodes has: the events with somebody who shows them, and the nodes.
struct Session {
    want: Inventory,
    events: Events,
    shown: JoinHandle<()>,
    fleet: Fleet<Node>,
}

impl Session {
    /// Connects to all nodes. `silent`: for commands that only look; progress is not shown.
    async fn open(loaded: Loaded, look: Look, silent: bool) -> Self {
        let Loaded { inventory: want, warnings, .. } = loaded;
        let (events, received) = if silent {
            let (_, received) = Events::channel();
            (Events::nowhere(), received)
        } else {
            Events::channel()
        };
        let terminal = Terminal::default();
        let shown = tokio::spawn(report::run(look, terminal.clone(), received, !silent));
        for warning in warnings {
            let message = format!("line {}: {}; {}", warning.line, warning.message, warning.fix);
            if silent && !look.quiet {
                look.print_error(&format!("warning: {message}"));
            }
            events.send(Event::Warning { node: None, message });
        }
        // what only looks leaves no trace on this machine either
        let patience = Duration::from_secs(if silent { 8 } else { 20 });
        let client = Client::new(Arc::new(terminal), LocalSsh::of_this_user(!silent));
        let fleet = connect_all(&want, &client, &events, patience).await;
        Self { want, events, shown, fleet }
    }

    /// Takes the cluster's lock for what this process is about to do; prints who has it otherwise.
    async fn lock(&self, look: Look, doing: &str) -> Result<OperatorLock, Exit> {
        self.fleet.lock(&self.want, &who(doing)).await.map_err(|error| {
            let hint = match &error {
                LockError::Taken { .. } => {
                    "wait until it is done and run the same command again; the lock ends with whoever holds it"
                }
                LockError::Failed { .. } => "mend that and run the same command again",
            };
            look.print_failure(&Failure {
                what: error.to_string(),
                hint: Some(hint.into()),
                ..Failure::default()
            });
            Exit::Failed
        })
    }

    /// Shows from now on what happens, where nothing was shown before.
    fn show(&mut self, look: Look) {
        let (events, received) = Events::channel();
        self.events = events;
        self.shown = tokio::spawn(report::run(look, Terminal::default(), received, true));
    }

    /// Waits until everything that happened is shown.
    async fn close(self) {
        drop(self.events);
        drop(self.fleet);
        drop(self.shown.await); // a reporter that panicked has said so itself
    }
}

/// This process, for whoever finds it at work: `ops@laptop, process 4711, cephdock up`.
fn who(doing: &str) -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let host = rustix::system::uname();
    format!(
        "{}@{}, process {}, cephdock {doing}",
        user.as_deref().unwrap_or("somebody"),
        host.nodename().to_string_lossy(),
        std::process::id()
    )
}

/// A new identity, from the system's randomness and clock: the only place that has either.
fn mint(want: &Inventory) -> Identity {
    let mut random = [0; 48];
    getrandom::fill(&mut random).expect("every Linux gives random bytes");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |d| u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
    Identity::mint(want, random, seconds).undecided()
}

/// What `up` is to do, once the checks that cost nothing have found nothing in the way of a new cluster.
fn planned(want: &Inventory, seen: &Facts, id: &Identity) -> Result<Plan, Refusal> {
    let plan = crate::plan::up(want, seen, id)?;
    if !id.established {
        crate::check::before_up(want, seen)?;
    }
    Ok(plan)
}

/// Prints why nothing was done.
fn print_refusal(look: Look, refusal: &Refusal) -> Exit {
    for failure in report::error::of_refusal(refusal) {
        look.print_failure(&failure);
    }
    if refusal.to_protect_data { Exit::Refused } else { Exit::Failed }
}
