//! SSH and Docker over it, against real sshds on loopback that each test starts for itself.
//!
//! Not covered here, as it takes an account with a known password: password and keyboard-interactive logins. They are
//! in `tests/lab_access.rs`.

mod config;
mod cut;
mod docker;
mod host_key;
mod jump;
mod limits;
mod login;
mod sshd;
mod streams;
mod typed;

use std::sync::Arc;
use std::time::Duration;

use cephdock::inventory::Ssh;
use cephdock::ssh::{Client, LocalSsh, Nobody, Session, SshError};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_mins(1);

/// Logs in with nothing but the settings: no agent, no ~/.ssh, nobody to ask.
async fn connect(settings: &Ssh) -> Result<Session, SshError> {
    Client::new(Arc::new(Nobody), LocalSsh { record_host_keys: true, ..LocalSsh::default() })
        .connect(settings, SOON)
        .await
}

/// What `command` prints.
async fn stdout(session: &Session, command: &str) -> String {
    let out = session.run(command, b"", SOON).await.expect("ran");
    assert!(out.exit.success(), "{command}: {out:?}");
    String::from_utf8(out.stdout).expect("text")
}

/// Waits until `done`, and fails with `what` where that never comes.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
