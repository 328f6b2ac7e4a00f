//! `~/.ssh/config`, as OpenSSH itself reads it: `ssh -G HOST` prints what it comes to.
//!
//! Patterns, `Match`, `Include` and the order of precedence are OpenSSH's own affair, and reading them otherwise would
//! send a login elsewhere. What `ssh -G` does not tell is which values the file gives and which are OpenSSH's defaults;
//! so the file is given to it with values at its end that nobody writes: what comes back as one of those is unset.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::SshError;
use crate::inventory::{HostKeyPolicy, Jump, Ssh};

/// `Match exec` may run a command of the user's.
const DEADLINE: Duration = Duration::from_secs(15);
/// Ends the text given to `ssh -G`. OpenSSH takes the first value it finds, so these count where no other is.
const UNSET: &str = "cephdock-unset";
const UNSET_PORT: u16 = 1;

/// `settings` with what `config` says for its host, where the inventory says nothing.
pub(super) async fn apply(settings: &Ssh, config: &Path) -> Result<Ssh, SshError> {
    let said = ask(&settings.host, config).await?;
    let home = std::env::home_dir();
    fill(settings, &said, home.as_deref())
        .map_err(|why| SshError::Config { host: settings.host.clone(), why })
}

/// Runs `ssh -G`. Nothing but its output is used: it connects nowhere.
async fn ask(host: &str, config: &Path) -> Result<String, SshError> {
    let failed = |why: String| SshError::Config { host: host.to_owned(), why };
    let Some(config) = config.to_str().filter(|c| !c.contains(['"', '\n'])) else {
        return Err(failed(format!("{} cannot be named to ssh", config.display())));
    };
    let text = format!(
        "Include \"{config}\"\nInclude /etc/ssh/ssh_config\nMatch all\nUser {UNSET}\nPort {UNSET_PORT}\n\
         IdentityFile /{UNSET}\nUserKnownHostsFile /{UNSET}\n"
    );
    let run = async {
        let mut child = Command::new("ssh")
            .args(["-F", "/dev/stdin", "-G", "--", host])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(DEADLINE, run)
        .await
        .map_err(|_| failed(format!("`ssh -G` did not end within {} s", DEADLINE.as_secs())))?
        .map_err(|e| failed(format!("`ssh -G` cannot be run: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    Err(failed(if lines.is_empty() {
        "`ssh -G` failed and said nothing".to_owned()
    } else {
        lines.join("; ")
    }))
}

/// Takes from `ssh -G`'s lines (`keyword value`, keywords in lower case) what the inventory leaves open.
fn fill(settings: &Ssh, said: &str, home: Option<&Path>) -> Result<Ssh, String> {
    let lines: Vec<(&str, &str)> = said.lines().filter_map(|l| l.trim().split_once(' ')).collect();
    let all = |keyword: &'static str| {
        lines.iter().filter(move |(k, _)| *k == keyword).map(|(_, v)| v.trim())
    };
    let one = |keyword| all(keyword).next();
    let mut out = settings.clone();
    if let Some(name) = one("hostname") {
        name.clone_into(&mut out.host);
    }
    if let Some(user) = one("user").filter(|u| settings.unset.user && *u != UNSET) {
        user.clone_into(&mut out.user);
    }
    if let Some(port) = one("port").filter(|_| settings.unset.port) {
        let port: u16 =
            port.parse().map_err(|_| format!("Port {port} is not the number of a port"))?;
        if port != UNSET_PORT {
            out.port = port;
        }
    }
    out.known_hosts = known_hosts(settings, home);
    if settings.unset.known_hosts
        && let Some(said) = one("userknownhostsfile").filter(|f| !f.ends_with(UNSET))
    {
        // a file whose name cannot be told is left out, as long as another can
        let (told, untold): (Vec<_>, Vec<_>) =
            files(said).iter().map(|f| expand(f, &out, home)).partition(Result::is_ok);
        out.known_hosts = told.into_iter().flatten().collect();
        if let (true, Some(Err(why))) = (out.known_hosts.is_empty(), untold.into_iter().next()) {
            return Err(why);
        }
    }
    if let Some(said) = one("globalknownhostsfile") {
        // OpenSSH knows no tokens in these
        out.global_known_hosts = files(said).into_iter().map(PathBuf::from).collect();
    }
    out.certificates = all("certificatefile").flat_map(|f| expand(f, &out, home)).collect();
    if settings.unset.identity_files {
        let files = all("identityfile").filter(|f| !f.ends_with(UNSET) && *f != "none");
        let files: Result<_, _> = files.map(|f| expand(f, &out, home)).collect();
        out.identity_files = files?;
    }
    out.identities_only = one("identitiesonly") == Some("yes");
    if settings.unset.host_key && one("stricthostkeychecking") == Some("accept-new") {
        out.host_key = HostKeyPolicy::AcceptNew;
    }
    if settings.unset.jump {
        if let Some(command) = one("proxycommand").filter(|c| *c != "none") {
            return Err(format!(
                "ProxyCommand is not supported ({command}); use ProxyJump, or `jump` in the inventory"
            ));
        }
        if let Some(jumps) = one("proxyjump").filter(|j| *j != "none") {
            out.jump = jumps.split(',').map(Jump::parse).collect::<Result<_, _>>()?;
        }
    }
    Ok(out)
}

/// The user's `known_hosts` files where no configuration names any: what the inventory names, or OpenSSH's two.
pub(super) fn known_hosts(settings: &Ssh, home: Option<&Path>) -> Vec<PathBuf> {
    match home {
        Some(home) if settings.unset.known_hosts => {
            ["known_hosts", "known_hosts2"].iter().map(|f| home.join(".ssh").join(f)).collect()
        }
        _ => settings.known_hosts.clone(),
    }
}

/// The files of a line that may name several. `ssh -G` parts them by blanks and leaves out the quotes around a name that
/// holds blanks; so what does not begin like a whole path belongs to the one before it.
fn files(said: &str) -> Vec<String> {
    if said == "none" {
        return Vec::new();
    }
    let mut files: Vec<String> = Vec::new();
    for piece in said.split(' ') {
        match files.last_mut() {
            Some(last) if !piece.starts_with(['/', '~', '%', '$']) => {
                last.push(' ');
                last.push_str(piece);
            }
            _ => files.push(piece.to_owned()),
        }
    }
    files
}

/// The tokens that a file's name may hold: `~`, `%d` (home), `%h` (host), `%p` (port), `%r` (user), `%%`.
fn expand(text: &str, settings: &Ssh, home: Option<&Path>) -> Result<PathBuf, String> {
    let at_home = || home.map(|h| h.display().to_string()).ok_or("HOME is not known");
    let mut out = String::new();
    let mut rest = text.trim_matches('"');
    if let Some(tail) = rest.strip_prefix("~/") {
        out = at_home()? + "/";
        rest = tail;
    }
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out += &at_home()?,
            Some('h') => out += &settings.host,
            Some('p') => out += &settings.port.to_string(),
            Some('r') => out += &settings.user,
            Some('%') => out.push('%'),
            other => {
                let token = other.map_or_else(String::new, String::from);
                return Err(format!("the token %{token} in {text} is not supported"));
            }
        }
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Unset;

    fn open() -> Ssh {
        Ssh {
            host: "b1".into(),
            port: 22,
            user: "root".into(),
            identity_files: Vec::new(),
            identities_only: false,
            jump: Vec::new(),
            certificates: Vec::new(),
            known_hosts: vec!["/h/.ssh/known_hosts".into()],
            global_known_hosts: vec!["/etc/ssh/ssh_known_hosts".into()],
            host_key: HostKeyPolicy::Strict,
            fingerprint: None,
            unset: Unset::ALL,
        }
    }

    const SAID: &str = "host b1\nuser ops\nhostname 10.0.0.1\nport 2222\nidentitiesonly yes\n\
        stricthostkeychecking accept-new\nidentityfile ~/.ssh/%r-%h\nidentityfile /k/two\nidentityfile /cephdock-unset\n\
        userknownhostsfile /k/hosts ~/more of it/%h ~/known/%k /k/more\nglobalknownhostsfile /g/a b /g/c\n\
        certificatefile ~/%r-cert.pub\ncertificatefile ~/%u-cert.pub\nproxyjump admin@bastion:2200,[fd00::1]\n";

    #[test]
    fn what_the_inventory_leaves_open_is_taken() {
        let filled = fill(&open(), SAID, Some(Path::new("/h"))).unwrap();
        assert_eq!(
            (filled.host.as_str(), filled.port, filled.user.as_str()),
            ("10.0.0.1", 2222, "ops")
        );
        let keys: Vec<PathBuf> = vec!["/h/.ssh/ops-10.0.0.1".into(), "/k/two".into()];
        assert_eq!(filled.identity_files, keys);
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(filled.known_hosts, paths(&["/k/hosts", "/h/more of it/10.0.0.1", "/k/more"]));
        assert_eq!(filled.global_known_hosts, paths(&["/g/a b", "/g/c"]));
        assert_eq!(filled.certificates, paths(&["/h/ops-cert.pub"]));
        assert_eq!(filled.host_key, HostKeyPolicy::AcceptNew);
        assert!(filled.identities_only);
        let jumps: Vec<_> =
            filled.jump.iter().map(|j| (j.user.as_deref(), j.host.as_str(), j.port)).collect();
        assert_eq!(jumps, [(Some("admin"), "bastion", Some(2200)), (None, "fd00::1", None)]);
    }

    #[test]
    fn what_the_inventory_says_stays() {
        let said = Ssh { unset: Unset::default(), identity_files: vec!["/mine".into()], ..open() };
        let filled = fill(&said, SAID, Some(Path::new("/h"))).unwrap();
        let (known_hosts, certificates) =
            (said.known_hosts.clone(), vec!["/h/root-cert.pub".into()]);
        assert_eq!(filled.known_hosts, known_hosts);
        let global_known_hosts = vec!["/g/a b".into(), "/g/c".into()];
        let host = "10.0.0.1".into();
        let identities_only = true;
        assert_eq!(filled, Ssh { host, identities_only, certificates, global_known_hosts, ..said });
    }

    #[test]
    fn values_that_nobody_wrote_are_none() {
        let said = "user cephdock-unset\nhostname b1\nport 1\nidentitiesonly no\nidentityfile /cephdock-unset\n\
            userknownhostsfile /cephdock-unset\nstricthostkeychecking ask\n";
        assert_eq!(fill(&open(), said, None).unwrap(), open());
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let command = fill(&open(), "proxycommand nc %h %p\n", None).unwrap_err();
        assert!(command.contains("ProxyJump"), "{command}");
        let token = fill(&open(), "identityfile /k/%C\n", None).unwrap_err();
        assert!(token.contains("%C"), "{token}");
    }
}
