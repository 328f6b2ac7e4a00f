//! One match over [`Action`].

use super::node::Node;
use super::{HostError, StepReport};
use crate::causes::telling;
use crate::plan::Action;

/// Lines of a daemon's log that go with an error about it.
const LOG_LINES: usize = 12;
/// Lines that they are taken from.
const LOG_READ: usize = 500;

impl Node {
    pub(super) async fn carry_out(
        &self,
        action: &Action,
        step: &StepReport,
    ) -> Result<(), HostError> {
        match action {
            Action::WriteFiles(files) => self.write_files(files).await,
            Action::OpenPorts(spec) => self.ports(spec, true).await,
            Action::ClosePorts(spec) => self.ports(spec, false).await,
            Action::PullImage { image, login } => self.pull(image, login.as_ref(), step).await,
            Action::LoadImage(file) => self.load(file, step).await,
            Action::LookIntoImage(reference) => self.look_into(reference).await,
            Action::Run(spec) => self.run(spec).await,
            Action::Start(daemon) => self.start(&daemon.container()).await,
            Action::Replace(spec) => self.replace(spec).await,
            Action::Ceph(commands) => self.tell(commands).await,
            Action::Exec(daemon, argv) => match self.exec(daemon, argv).await {
                Err(error) if !error.lost => {
                    let log = self.tail(&daemon.container(), LOG_READ).await.unwrap_or_default();
                    Err(HostError { log: telling(&log, LOG_LINES), ..error })
                }
                done => done,
            },
            Action::InstallTools(manager, packages) => self.install(*manager, packages, step).await,
            Action::LoadModule(name) => self.load_module(name).await,
            Action::PullPlugin { name, remote, login } => {
                self.pull_plugin(name, remote, login.as_ref(), step).await
            }
            Action::SetPlugin { name, settings } => self.set_plugin(name, settings).await,
            Action::EnablePlugin(name) => self.enable_plugin(name).await,
            Action::DisablePlugin(name) => self.disable_plugin(name).await,
            Action::RemovePlugin(name) => self.remove_plugin(name).await,
            Action::SendProgram(spec) => self.send_program(spec, step).await,
            Action::Service(unit, verb) => self.service(unit, verb).await,
            Action::WaitUntil(condition) => self.wait_until(condition, step).await,
            Action::RemoveContainer(daemon, fsid, ending) => {
                self.remove_container(daemon, *fsid, *ending).await
            }
            Action::RemoveLooks(ids) => self.remove_looks(ids).await,
            Action::RemoveFiles(removals) => self.remove_files(removals).await,
            Action::WipeDisk(disk) => self.wipe(disk).await,
        }
    }
}
