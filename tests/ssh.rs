//! SSH and Docker over it, against real sshds on loopback that each test starts for itself.

mod sshd;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cephdock::inventory::{HostKeyPolicy, Ssh};
use cephdock::ssh::{Client, Exit, LocalSsh, Nobody, Session, SshError};
use sshd::{Answers, Sshd};

const SOON: Duration = Duration::from_secs(20);

async fn connect(settings: &Ssh) -> Result<Session, SshError> {
    Client::new(Arc::new(Nobody), LocalSsh::default()).connect(settings, SOON).await
}

mod logging_in {
    use super::*;

    #[tokio::test]
    async fn with_a_key_file() {
        let sshd = Sshd::start("");
        let session = connect(&sshd.settings()).await.expect("logged in");
        let out = session.run("cat; echo err >&2; exit 3", b"in", SOON).await.expect("ran");
        assert_eq!(
            (out.stdout, out.stderr, out.exit),
            (b"in".to_vec(), b"err\n".to_vec(), Exit::Code(3))
        );
    }
}
