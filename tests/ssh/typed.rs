//! Passphrases that are typed on a terminal.

use std::fs;
use std::process::Command;

use crate::sshd::{Sshd, keygen, user};

/// Runs a command on a terminal, answers its question, and says whether the terminal would have shown the answer when the
/// question came, and whether it did.
const TYPIST: &str = concat!(
    include_str!("../terminal.py"),
    r#"
asked = []
def answer(said, terminal):
    if not asked and b"Passphrase for" in said:
        asked.append(bool(termios.tcgetattr(terminal)[3] & termios.ECHO))
        os.write(terminal, b"sesame\n")
said, code = typed(sys.argv[1:], 60, answer)
for echo in asked:
    print("echo while it asks:", echo)
print("exit:", code >= 0)
print("shown:", b"sesame" in said)
print(said.decode(errors="replace"))
"#
);

#[test]
fn a_passphrase_is_shown_at_no_moment() {
    let sshd = Sshd::start("");
    let locked = sshd.path("locked");
    sshd.authorize(&keygen(&locked, "ed25519", "sesame"));
    let inventory = format!(
        "cluster: {{public_network: 127.0.0.0/8}}\nssh: {{user: {}, port: {}, identity_file: {}, known_hosts: {}}}\n\
         nodes: [{{name: a, address: 127.0.0.1, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}]\n",
        user(),
        sshd.port,
        locked.display(),
        sshd.path("known_hosts").display()
    );
    fs::write(sshd.path("inventory.yaml"), inventory).expect("written");
    let out = Command::new("python3")
        .args(["-c", TYPIST, env!("CARGO_BIN_EXE_cephdock"), "-i"])
        .arg(sshd.path("inventory.yaml"))
        .arg("status")
        .env("HOME", sshd.dir.path())
        .env("SSH_AUTH_SOCK", "")
        .output()
        .expect("python3 is there");
    let said = String::from_utf8_lossy(&out.stdout);
    for line in ["echo while it asks: False", "exit: True", "shown: False"] {
        assert!(said.contains(line), "{line}: {said}{}", String::from_utf8_lossy(&out.stderr));
    }
    assert!(sshd.log().contains("Accepted publickey"), "{said}\n{}", sshd.log());
}
