//! Who may log in, with what, and what is said where it fails.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cephdock::inventory::Ssh;
use cephdock::ssh::{Client, Exit, LocalSsh, Nobody, SshError};

use crate::sshd::{Answers, Sshd, keygen, run, user};
use crate::{SOON, connect, eventually, stdout};

#[tokio::test]
async fn key_file() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let out = session.run("cat; echo err >&2; exit 3", b"in", SOON).await.expect("ran");
    assert_eq!(
        (out.stdout, out.stderr, out.exit),
        (b"in".to_vec(), b"err\n".to_vec(), Exit::Code(3))
    );
    // libssh2 reports status 0 for this one
    let out = session.run("kill -TERM $$", b"", SOON).await.expect("ran");
    assert_eq!(out.exit, Exit::Signal("TERM".into()));
    assert_eq!(session.lost(), None);
}

#[tokio::test]
async fn every_usual_kind_of_key_file() {
    let sshd = Sshd::start("");
    for (name, key_type, format, passphrase) in [
        ("ecdsa", "ecdsa", "RFC4716", ""),
        ("rsa", "rsa", "RFC4716", ""),
        ("rsa_pem", "rsa", "PEM", ""),
        ("rsa_pem_locked", "rsa", "PEM", "sesame"),
        ("rsa_locked", "rsa", "RFC4716", "sesame"),
        ("ecdsa_locked", "ecdsa", "RFC4716", "sesame"),
    ] {
        let path = sshd.path(name);
        let file = path.to_str().expect("text");
        run("ssh-keygen", &["-q", "-t", key_type, "-m", format, "-N", passphrase, "-f", file]);
        sshd.authorize(&fs::read_to_string(path.with_extension("pub")).expect("public"));
        let prompt = Arc::new(Answers::new(&["sesame"]));
        let settings = Ssh { identity_files: vec![path], ..sshd.settings() };
        let client = Client::new(prompt.clone(), LocalSsh::default());
        client.connect(&settings, SOON).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(prompt.asked().len(), usize::from(!passphrase.is_empty()), "{name}");
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_all_nodes() {
    let (one, two) = (Sshd::start(""), Sshd::start(""));
    let path = one.path("locked");
    let public = keygen(&path, "ed25519", "sesame");
    one.authorize(&public);
    two.authorize(&public);
    let prompt = Arc::new(Answers::new(&["wrong", "sesame"]));
    let client = Client::new(prompt.clone(), LocalSsh::default());
    let with = |sshd: &Sshd| Ssh { identity_files: vec![path.clone()], ..sshd.settings() };
    let (one, two) = (with(&one), with(&two));
    let (first, second) = tokio::join!(client.connect(&one, SOON), client.connect(&two, SOON));
    first.expect("logged in");
    second.expect("logged in");
    let file = path.display();
    let again = format!("Passphrase for {file} (wrong, attempt 2 of 3): ");
    assert_eq!(prompt.asked(), [format!("Passphrase for {file}: "), again]);
}

#[tokio::test]
async fn an_encrypted_key_with_nobody_to_ask() {
    let sshd = Sshd::start("");
    let path = sshd.path("locked");
    sshd.authorize(&keygen(&path, "ed25519", "sesame"));
    let error =
        connect(&Ssh { identity_files: vec![path], ..sshd.settings() }).await.expect_err("refused");
    assert!(
        error.to_string().contains("locked: it needs a passphrase and there is nobody to ask"),
        "{error}"
    );
    assert!(error.hint().expect("one").contains("ssh-add"), "{error:?}");
}

#[tokio::test]
async fn a_key_the_server_does_not_know() {
    let sshd = Sshd::start("");
    let path = sshd.path("other");
    keygen(&path, "ed25519", "");
    let error =
        connect(&Ssh { identity_files: vec![path], ..sshd.settings() }).await.expect_err("refused");
    assert!(matches!(error, SshError::Auth { .. }), "{error:?}");
    assert!(error.to_string().contains("/other: refused by the server"), "{error}");
    assert!(error.hint().expect("one").contains("authorized_keys"), "{error:?}");
}

#[tokio::test]
async fn a_key_file_others_can_read() {
    let sshd = Sshd::start("");
    fs::set_permissions(sshd.path("id"), fs::Permissions::from_mode(0o644)).expect("set");
    let error = connect(&sshd.settings()).await.expect_err("refused");
    assert_eq!(error.hint().expect("one"), format!("`chmod 600 {}`", sshd.path("id").display()));
}

#[tokio::test]
async fn a_key_file_that_is_not_there() {
    let sshd = Sshd::start("");
    let settings = Ssh { identity_files: vec!["/nonexistent/key".into()], ..sshd.settings() };
    let error = connect(&settings).await.expect_err("refused");
    assert!(error.to_string().contains("/nonexistent/key: No such file"), "{error}");
}

#[tokio::test]
async fn the_usual_key_files() {
    let sshd = Sshd::start("");
    let dir = sshd.path("dot-ssh");
    fs::create_dir(&dir).expect("made");
    keygen(&dir.join("id_ed25519"), "ed25519", "");
    fs::copy(sshd.path("id"), dir.join("id_rsa")).expect("copied");
    let local = LocalSsh { agent_socket: None, ssh_dir: Some(dir), ..LocalSsh::default() };
    let settings = Ssh { identity_files: Vec::new(), ..sshd.settings() };
    Client::new(Arc::new(Nobody), local).connect(&settings, SOON).await.expect("logged in");
}

/// An ssh-agent of the test's own.
pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) async fn start(socket: PathBuf) -> Self {
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn();
        let agent = Self { child: child.expect("apt-get install openssh-client"), socket };
        eventually("the agent listens", || agent.socket.exists()).await;
        agent
    }

    pub(crate) fn add(&self, key: &Path) {
        let mut add = Command::new("ssh-add");
        let added =
            add.env("SSH_AUTH_SOCK", &self.socket).arg("-q").arg(key).status().expect("ran");
        assert!(added.success());
    }

    fn client(&self) -> Client {
        Client::new(
            Arc::new(Nobody),
            LocalSsh {
                agent_socket: Some(self.socket.clone()),
                ssh_dir: None,
                ..LocalSsh::default()
            },
        )
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn agent() {
    let sshd = Sshd::start("");
    let agent = Agent::start(sshd.path("agent")).await;
    agent.add(&sshd.path("id"));
    let settings = Ssh { identity_files: Vec::new(), ..sshd.settings() };
    let session = agent.client().connect(&settings, SOON).await.expect("logged in");
    assert_eq!(stdout(&session, "id -un").await.trim(), user());
}

#[tokio::test]
async fn a_full_agent_does_not_use_up_the_attempts() {
    let sshd = Sshd::start("");
    let agent = Agent::start(sshd.path("agent")).await;
    for i in 0..8 {
        let path = sshd.path(&format!("other{i}"));
        keygen(&path, "ed25519", "");
        agent.add(&path);
    }
    // not in the agent at all: the file has to get its turn
    agent.client().connect(&sshd.settings(), SOON).await.expect("logged in by the file");
    // nor does a certificate beside it, of an authority that this server does not know
    keygen(&sshd.path("ca"), "ed25519", "");
    certify(&sshd, "id", &user());
    agent.client().connect(&sshd.settings(), SOON).await.expect("logged in by the file");
    // the agent's ninth, and locked on disk: the agent has to offer it first
    let path = sshd.path("ninth");
    sshd.authorize(&keygen(&path, "ed25519", ""));
    agent.add(&path);
    run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "sesame", "-f", path.to_str().expect("text")]);
    let settings = Ssh { identity_files: vec![path], ..sshd.settings() };
    agent.client().connect(&settings, SOON).await.expect("logged in by the agent");
    // none of them is known: the error names what was left out, and the server has not hung up
    let settings = Ssh { identity_files: Vec::new(), ..sshd.settings() };
    fs::write(sshd.path("authorized_keys"), "").expect("written");
    let error = agent.client().connect(&settings, SOON).await.expect_err("refused");
    assert!(error.to_string().contains("more keys not tried"), "{error}");
    assert!(error.to_string().contains("the server takes publickey"), "{error}");
}

#[tokio::test]
async fn a_port_that_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("one").port();
    let sshd = Sshd::start("");
    let settings = Ssh { port, ..sshd.settings() };
    let client = Client::new(Arc::new(Nobody), LocalSsh::default());
    let error = client.connect(&settings, Duration::from_millis(300)).await.expect_err("silent");
    assert!(matches!(error, SshError::Timeout { doing: "exchanging keys", .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("127.0.0.1:{port} did not answer within 0.3 s while exchanging keys")
    );
}

#[tokio::test]
async fn an_agent_that_never_answers() {
    let sshd = Sshd::start("");
    let socket = sshd.path("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let client = Client::new(
        Arc::new(Nobody),
        LocalSsh { agent_socket: Some(socket), ssh_dir: None, ..LocalSsh::default() },
    );
    let error = client.connect(&sshd.settings(), Duration::from_secs(2)).await.expect_err("silent");
    assert!(matches!(error, SshError::Timeout { doing: "logging in", .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name() {
    let sshd = Sshd::start("");
    let port = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("one").port();
    let error = connect(&Ssh { port, ..sshd.settings() }).await.expect_err("closed");
    assert!(matches!(error, SshError::Connect { .. }), "{error:?}");
    assert_eq!(error.hint().expect("one"), "is sshd running there, and is ssh.port right?");
    let error = connect(&Ssh { host: "no-such-host.invalid".into(), ..sshd.settings() })
        .await
        .expect_err("unknown");
    assert!(matches!(error, SshError::Resolve { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_that_speaks_something_else() {
    let sshd = Sshd::start("");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("one").port();
    let other = std::thread::spawn(move || {
        use std::io::Write;
        let (mut peer, _) = listener.accept().expect("accepted");
        peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("sent");
    });
    let error = connect(&Ssh { port, ..sshd.settings() }).await.expect_err("not SSH");
    assert!(matches!(error, SshError::Handshake { .. }), "{error:?}");
    other.join().expect("served");
}

/// Signs a public key as `sshd`'s authority for its users does, for the user `principal`.
fn certify(sshd: &Sshd, key: &str, principal: &str) {
    let text = |name: &str| sshd.path(name).to_str().expect("text").to_owned();
    let (ca, public) = (text("ca"), text(&format!("{key}.pub")));
    run("ssh-keygen", &["-q", "-s", &ca, "-I", "the user", "-n", principal, &public]);
}

/// One that believes an authority and knows no key.
fn with_authority() -> (Sshd, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    keygen(&dir.path().join("ca"), "ed25519", "");
    let sshd = Sshd::start(&format!("TrustedUserCAKeys {}", dir.path().join("ca.pub").display()));
    fs::copy(dir.path().join("ca"), sshd.path("ca")).expect("copied");
    fs::write(sshd.path("authorized_keys"), "").expect("written");
    (sshd, dir)
}

#[tokio::test]
async fn a_certificate_beside_the_key() {
    let (sshd, _dir) = with_authority();
    for (name, key_type, passphrase) in [
        ("one", "ed25519", ""),
        ("two", "ecdsa", ""),
        ("three", "rsa", ""),
        ("four", "ed25519", "sesame"),
    ] {
        keygen(&sshd.path(name), key_type, passphrase);
        let settings = Ssh { identity_files: vec![sshd.path(name)], ..sshd.settings() };
        let client = || Client::new(Arc::new(Answers::new(&["sesame"])), LocalSsh::default());
        let error = client().connect(&settings, SOON).await.expect_err("not certified yet");
        assert!(matches!(error, SshError::Auth { .. }), "{name}: {error:?}");
        certify(&sshd, name, &user());
        client().connect(&settings, SOON).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[tokio::test]
async fn a_certificate_that_the_configuration_names() {
    let (sshd, _dir) = with_authority();
    certify(&sshd, "id", &user());
    fs::rename(sshd.path("id-cert.pub"), sshd.path("signed")).expect("moved");
    let named = |file: &str| Ssh { certificates: vec![sshd.path(file)], ..sshd.settings() };
    connect(&named("signed")).await.expect("logged in");
    // the one of another key, and none at all
    keygen(&sshd.path("other"), "ed25519", "");
    certify(&sshd, "other", &user());
    for (file, said) in [("other-cert.pub", "no key file is its own"), ("id.pub", "no certificate")]
    {
        let SshError::Auth { tried, .. } = connect(&named(file)).await.expect_err("not its own")
        else {
            panic!("another error")
        };
        let line = tried.iter().find(|t| t.starts_with("certificate "));
        assert!(line.is_some_and(|l| l.contains(said)), "{tried:?}");
    }
    // for somebody else: refused, and said
    certify(&sshd, "id", "somebody-else");
    let error = connect(&sshd.settings()).await.expect_err("not for this user");
    let SshError::Auth { tried, .. } = error else { panic!("{error:?}") };
    let refused =
        format!("certificate {}: refused by the server", sshd.path("id-cert.pub").display());
    assert!(tried.contains(&refused), "{tried:?}");
    // and the plain key is tried after it
    sshd.authorize(&fs::read_to_string(sshd.path("id.pub")).expect("public"));
    connect(&sshd.settings()).await.expect("with the key itself");
}

#[tokio::test]
async fn a_certificate_that_the_agent_holds() {
    let (sshd, _dir) = with_authority();
    certify(&sshd, "id", &user());
    let agent = Agent::start(sshd.path("agent")).await;
    agent.add(&sshd.path("id"));
    fs::remove_file(sshd.path("id-cert.pub")).expect("removed");
    let settings = Ssh { identity_files: Vec::new(), ..sshd.settings() };
    agent.client().connect(&settings, SOON).await.expect("by the agent");
}
