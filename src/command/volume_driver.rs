//! `volume-driver`: what systemd runs on every node.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Exit, look};
use crate::cli::{Global, VolumeDriver};
use crate::report::{Failure, journal};
use crate::volume::driver::{Driver, Level, Settings};
use crate::volume::kernel::Linux;
use crate::volume::{rbd, server};

pub(super) async fn run(global: &Global, options: &VolumeDriver) -> Exit {
    let VolumeDriver { socket, root, node, pool, user, size, features, rbd, rados, sys } =
        options.clone();
    let fail = |what: String| {
        look(global).print_failure(&Failure { what, ..Failure::default() });
        Exit::Failed
    };
    let node =
        node.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let settings = Settings { root, node, pools: pool, size, features };
    let kernel = Linux { sys, proc: "/proc".into() };
    let root = settings.root.display().to_string();
    let driver = match Driver::new(rbd::Cli::new(rbd, rados, user), kernel, settings, log) {
        Ok(driver) => driver,
        Err(error) => return fail(format!("{root}: {error}")),
    };
    let (stop, stopping) = watch::channel(false);
    // before Docker can connect: whoever is told to end later must hear of it
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return fail("the system lets nobody listen for signals".into());
    };
    let listener = match server::bind(&socket) {
        Ok(listener) => listener,
        Err(error) => return fail(format!("{}: {error}", socket.display())),
    };
    if let Err(error) = server::ready() {
        log(Level::Warning, &format!("systemd cannot be told that all is ready: {error}"));
    }
    log(Level::Info, &format!("listens on {}", socket.display()));
    let keeping = tokio::spawn(driver.clone().keep());
    let serving = tokio::spawn(server::serve(driver, listener, stopping));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    drop(serving.await); // one that panicked has said so itself
    keeping.abort();
    log(Level::Info, "ends; what is mounted stays");
    Exit::Done
}

fn log(level: Level, text: &str) {
    journal(level == Level::Warning, text);
}
