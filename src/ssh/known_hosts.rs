//! The `known_hosts` files: who is recorded with which key.
//!
//! libssh2 has a reader of its own, which knows neither patterns nor `@revoked` (it would accept a revoked key) and
//! gives up on the whole file at one odd line. So lines are read here, and libssh2 is only asked what needs HMAC-SHA1:
//! whether a hashed name is a given host's.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh2::{CheckResult, KnownHostFileKind};

use crate::inventory::Ssh;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// A host's key.
    Host,
    /// A stolen key.
    Revoked,
    /// The key of one who signs host keys, which counts for nothing here.
    Authority,
}

/// One usable line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) marker: Marker,
    /// The first field: names and patterns, or one hashed name.
    names: String,
    pub(super) key_type: String,
    pub(super) key: Vec<u8>,
    /// Where it stands.
    pub(super) file: Rc<Path>,
    /// Counted from 1.
    pub(super) line: usize,
}

/// Everything that the files say.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<Entry>,
    /// A file that is there and cannot be read. OpenSSH takes it for an empty one, so a key that another file holds is
    /// believed all the same; where none does, this is why.
    pub(super) unread: Option<(PathBuf, io::Error)>,
}

/// How `known_hosts` spells a host: plain on port 22, `[host]:port` elsewhere.
pub(super) fn host_name(host: &str, port: u16) -> String {
    // an IPv6 address may be written in many ways
    let host = host
        .parse::<IpAddr>()
        .map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string());
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

impl Known {
    /// Reads every usable line of the user's files and then of the machine's; a missing file is an empty one.
    pub(super) fn read(settings: &Ssh) -> Self {
        let mut known = Self::default();
        for path in settings.known_hosts.iter().chain(&settings.global_known_hosts) {
            match fs::read(path) {
                Ok(bytes) => known.entries.extend(parse(path, &String::from_utf8_lossy(&bytes))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => known.unread = known.unread.or_else(|| Some((path.clone(), e))),
            }
        }
        known
    }

    /// The lines about a host.
    pub(super) fn of(&self, host: &str, port: u16) -> Vec<&Entry> {
        let name = host_name(host, port);
        self.entries.iter().filter(|e| e.names(&name)).collect()
    }
}

/// Parses the text of a `known_hosts` file. Lines that cannot be used are skipped, as OpenSSH does.
fn parse(file: &Path, text: &str) -> Vec<Entry> {
    let file = Rc::from(file);
    text.lines().enumerate().filter_map(|(i, line)| parse_line(line, &file, i + 1)).collect()
}

fn parse_line(text: &str, file: &Rc<Path>, line: usize) -> Option<Entry> {
    let mut fields = text.split_ascii_whitespace();
    let mut first = fields.next().filter(|f| !f.starts_with('#'))?;
    let mut marker = Marker::Host;
    if first.starts_with('@') {
        marker = match first {
            "@revoked" => Marker::Revoked,
            "@cert-authority" => Marker::Authority,
            _ => return None,
        };
        first = fields.next()?;
    }
    let key_type = fields.next()?.to_owned();
    let key = STANDARD.decode(fields.next()?).ok()?;
    Some(Entry { marker, names: first.to_owned(), key_type, key, file: file.clone(), line })
}

impl Entry {
    /// Whether the line is about the host that is spelled `name` (see [`host_name`]).
    pub(super) fn names(&self, name: &str) -> bool {
        if self.names.starts_with('|') {
            return hashed_matches(&self.names, name);
        }
        let mut found = false;
        for pattern in self.names.split(',') {
            match pattern.strip_prefix('!') {
                // a negated match excludes the host whatever else the line says
                Some(p) if wildcard(p.to_ascii_lowercase().as_bytes(), name.as_bytes()) => {
                    return false;
                }
                Some(_) => {}
                None => found |= wildcard(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
            }
        }
        found
    }
}

/// Asks libssh2 with a key that cannot be right: "another key" means that the name is the host's.
fn hashed_matches(hashed: &str, name: &str) -> bool {
    const TYPE: &str = "ssh-ed25519";
    let key = |fill: u8| [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[fill; 32]].concat();
    let ask = || -> Result<bool, ssh2::Error> {
        let mut hosts = ssh2::Session::new()?.known_hosts()?;
        let line = format!("{hashed} {TYPE} {}", STANDARD.encode(key(1)));
        hosts.read_str(&line, KnownHostFileKind::OpenSSH)?;
        Ok(matches!(hosts.check(name, &key(2)), CheckResult::Mismatch))
    };
    ask().unwrap_or(false)
}

/// `*` is any run of characters, `?` any one.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|i| wildcard(rest, &name[i..])),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, tail)| (*c == b'?' || c == n) && wildcard(rest, tail)),
    }
}

/// The line that records `key` for the host spelled `name`.
pub(super) fn line(name: &str, key_type: &str, key: &[u8]) -> String {
    format!("{name} {key_type} {}", STANDARD.encode(key))
}

/// Adds `line`, in one write so that nodes that are added at the same moment do not cut each other's lines.
pub(super) fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let unfinished = match fs::read(path) {
        Ok(text) => text.last().is_some_and(|b| *b != b'\n'),
        Err(_) => false,
    };
    let text = format!("{}{line}\n", if unfinished { "\n" } else { "" });
    let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the start of a key: nothing looks at it here.
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5";

    fn matches(names: &str, name: &str) -> bool {
        parse(Path::new("f"), &format!("{names} ssh-ed25519 {KEY}\n"))[0].names(name)
    }

    #[test]
    fn names_match_as_in_openssh() {
        for (names, name, expected) in [
            ("b1", "b1", true),
            ("b1", "b11", false),
            ("B1", "b1", true),
            ("a,b1,c", "b1", true),
            ("[b1]:2222", "[b1]:2222", true),
            ("b1", "[b1]:2222", false),
            ("10.32.3.*", "10.32.3.147", true),
            ("10.32.3.*", "10.32.4.147", false),
            ("b?", "b1", true),
            ("b?", "b", false),
            ("b*,!b1", "b1", false),
            ("b*,!b1", "b2", true),
            ("!b1", "b2", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(names, name), expected, "{names} against {name}");
        }
    }

    #[test]
    fn a_hashed_name_matches_only_its_host() {
        // ssh-keygen -H of the host name "b1.example"
        let salted = hashed("b1.example");
        assert!(matches(&salted, "b1.example"), "{salted}");
        assert!(!matches(&salted, "b2.example"), "{salted}");
    }

    /// Has ssh-keygen hash a line for `host`.
    fn hashed(host: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("known_hosts");
        fs::write(&file, format!("{host} ssh-ed25519 {}\n", STANDARD.encode(ed25519())))
            .expect("written");
        let out = std::process::Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(&file)
            .output()
            .expect("ssh-keygen is there (apt-get install openssh-client)");
        assert!(out.status.success(), "{out:?}");
        let text = fs::read_to_string(&file).expect("read");
        text.split(' ').next().expect("a field").to_owned()
    }

    fn ed25519() -> Vec<u8> {
        [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[7; 32]].concat()
    }

    /// As OpenSSH records them: an IPv6 address has one spelling, and brackets only before another port.
    #[test]
    fn hosts_are_spelled_in_one_way() {
        assert_eq!(host_name("B1.example.org", 22), "b1.example.org");
        assert_eq!(host_name("b1", 2222), "[b1]:2222");
        assert_eq!(host_name("FD00:32:3:0:0::021", 22), "fd00:32:3::21");
        assert_eq!(host_name("fd00:32:3::21", 2222), "[fd00:32:3::21]:2222");
        assert_eq!(host_name("fe80::1%eth0", 22), "fe80::1%eth0");
    }

    #[test]
    fn odd_lines_do_not_hide_the_others() {
        let text = format!(
            "# comment\n\ngarbage\nb1 ssh-ed25519 !!!\n@cert-authority * ssh-ed25519 {KEY}\n@revoked b1 ssh-ed25519 {KEY}\n\
             b1 ssh-ed25519 {KEY} a comment\n"
        );
        let found: Vec<_> =
            parse(Path::new("f"), &text).iter().map(|e| (e.marker, e.line)).collect();
        assert_eq!(found, [(Marker::Authority, 5), (Marker::Revoked, 6), (Marker::Host, 7)]);
    }

    #[test]
    fn appending_makes_the_folder_private_and_finishes_a_cut_line() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/known_hosts");
        append(&path, "one").expect("appended");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let mode =
            fs::metadata(path.parent().expect("has one")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(&path, "cut").expect("written");
        append(&path, "two").expect("appended");
        append(&path, "three").expect("appended");
        assert_eq!(fs::read_to_string(&path).expect("read"), "cut\ntwo\nthree\n");
    }
}
