//! Every kind of error that a person can meet, once, as it is shown. A kind that is added does not compile until it has a
//! name here, and fails until it has a sample.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;

use crate::demo::Refused;
use crate::docker::image::ImageError;
use crate::docker::{DockerUnreachable, Failure as Way, Via};
use crate::host::{HostError, LockError};
use crate::image::archive::ArchiveError;
use crate::ssh::{Exit, SshError};
use crate::volume::program::ProgramError;

use super::super::{Failure, error};
use super::{PLAIN, fits, node};

/// What is shown of an error on a node.
fn shown(what: &str, error: HostError) -> String {
    let failure = Failure {
        what: format!("B2: {what}: {}", error.what),
        hint: error.hint,
        log: error.log,
        ..Failure::default()
    };
    let text = error::render(&failure, &PLAIN);
    // what is one word cannot be broken
    let lines = text.lines().filter(|l| l.split_whitespace().count() > 1);
    // a line for known_hosts and a command are there to be copied
    let lines = lines.filter(|l| !l.contains(" ssh-ed25519 AAAA") && !l.contains(" ssh-keygen "));
    fits(&lines.collect::<Vec<_>>().join("\n"), PLAIN.width);
    text
}

/// Fails where a kind has no sample.
fn all(kinds: &[&str], samples: &BTreeSet<&str>) {
    assert_eq!(*samples, kinds.iter().copied().collect::<BTreeSet<_>>(), "a kind has no sample");
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(111)
}

fn ssh_kind(error: &SshError) -> &'static str {
    match error {
        SshError::Resolve { .. } => "resolve",
        SshError::Config { .. } => "config",
        SshError::Connect { .. } => "connect",
        SshError::Timeout { .. } => "timeout",
        SshError::Handshake { .. } => "handshake",
        SshError::KnownHosts { .. } => "known-hosts",
        SshError::HostKeyUnknown { .. } => "unknown",
        SshError::HostCertificate { .. } => "certificate",
        SshError::HostKeyChanged { .. } => "changed",
        SshError::HostKeyRevoked { .. } => "revoked",
        SshError::FingerprintMismatch { .. } => "fingerprint",
        SshError::AnotherHost { .. } => "another",
        SshError::Auth { .. } => "auth",
        SshError::Refused { .. } => "refused",
        SshError::NoSession { .. } => "no-session",
        SshError::Lost { .. } => "lost",
        SshError::Jump { .. } => "jump",
        SshError::Local { .. } => "local",
    }
}

const SSH: &[&str] = &[
    "resolve",
    "config",
    "connect",
    "timeout",
    "handshake",
    "known-hosts",
    "unknown",
    "certificate",
    "changed",
    "revoked",
    "fingerprint",
    "another",
    "auth",
    "refused",
    "no-session",
    "lost",
    "jump",
    "local",
];

fn ssh_errors() -> Vec<SshError> {
    let to = || "10.32.3.148:22".to_owned();
    let known_hosts = || PathBuf::from("/home/ops/.ssh/known_hosts");
    let fingerprint = || "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8".to_owned();
    let unknown = |authority| {
        SshError::HostKeyUnknown {
        host: "10.32.3.148".into(),
        port: 22,
        key_type: "ssh-ed25519".into(),
        fingerprint: fingerprint(),
        known_hosts: Some(known_hosts().into()),
        line_to_add: "10.32.3.148 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl".into(),
        authority,
    }
    };
    vec![
        SshError::Resolve {
            host: "b2.example".into(),
            source: io::Error::other("Name or service not known"),
        },
        SshError::Config { host: "B2".into(), why: "ProxyCommand is not supported".into() },
        SshError::Connect { to: to(), source: refused() },
        SshError::Connect { to: to(), source: io::Error::from_raw_os_error(113) },
        SshError::Timeout { to: to(), doing: "exchanging keys", after: Duration::from_secs(20) },
        SshError::Handshake { to: to(), why: "Unable to exchange encryption keys".into() },
        SshError::KnownHosts {
            path: known_hosts(),
            source: io::ErrorKind::PermissionDenied.into(),
        },
        unknown(None),
        unknown(Some("/home/ops/.ssh/known_hosts:7".into())),
        SshError::HostCertificate {
            to: to(),
            offered: vec!["ssh-ed25519-cert-v01@openssh.com".into()],
        },
        SshError::HostKeyChanged {
            host: "10.32.3.148".into(),
            port: 2222,
            key_type: "ssh-ed25519".into(),
            fingerprint: fingerprint(),
            known_hosts: known_hosts(),
            line: 3,
        },
        SshError::HostKeyRevoked {
            host: "10.32.3.148".into(),
            port: 22,
            fingerprint: fingerprint(),
            known_hosts: known_hosts(),
            line: 3,
        },
        SshError::FingerprintMismatch {
            to: to(),
            expected: "SHA256:uNiVztksCsDhcc0u9e8BrWXSx1gBZV7jbhXtXtNJHiM".into(),
            seen: fingerprint(),
        },
        SshError::AnotherHost {
            to: to(),
            first: "SHA256:uNiVztksCsDhcc0u9e8BrWXSx1gBZV7jbhXtXtNJHiM".into(),
            seen: fingerprint(),
        },
        SshError::Auth {
            user: "root".into(),
            to: to(),
            tried: vec![
                "the key /home/ops/.ssh/id_ed25519 was refused".into(),
                "the agent holds no key".into(),
            ],
            remedy: None,
        },
        SshError::Auth {
            user: "root".into(),
            to: to(),
            tried: vec!["/home/ops/.ssh/id_rsa: not used, others can read it (mode 0644)".into()],
            remedy: Some("`chmod 600 /home/ops/.ssh/id_rsa`".into()),
        },
        SshError::NoSession { why: "prohibited".into() },
        SshError::Refused {
            what: "a connection to /var/run/docker.sock".into(),
            why: "administratively prohibited".into(),
        },
        SshError::Lost { why: "the node did not answer for 30 s".into() },
        SshError::Jump {
            host: "bastion:22".into(),
            source: Box::new(SshError::Connect { to: "bastion:22".into(), source: refused() }),
        },
        SshError::Local { what: "start a thread", source: io::Error::from_raw_os_error(11) },
    ]
}

/// What is lost of it when it is broken is which file it changes and whose key it forgets.
#[test]
fn the_command_that_forgets_a_host_key_is_a_line_of_its_own() {
    let error = SshError::HostKeyChanged {
        host: "10.32.3.148".into(),
        port: 2222,
        key_type: "ssh-ed25519".into(),
        fingerprint: "SHA256:x".into(),
        known_hosts: format!("/home/{}/known_hosts", "o".repeat(80)).into(),
        line: 3,
    };
    let text = shown("no connection", error.into());
    let whole = text.lines().map(str::trim).find(|l| l.starts_with("ssh-keygen ")).expect("a line");
    assert!(whole.ends_with(" -R '[10.32.3.148]:2222'"), "{text}");
}

#[test]
fn errors_of_ssh() {
    let errors = ssh_errors();
    all(SSH, &errors.iter().map(ssh_kind).collect());
    assert!(errors.iter().all(|e| e.hint().is_some()), "each says what to do");
    let text: Vec<_> = errors.into_iter().map(|e| shown("no connection", e.into())).collect();
    assert_snapshot!(text.join("\n"));
}

fn way_kind(way: &Way) -> &'static str {
    match way {
        Way::Ssh(_) => "ssh",
        Way::Io(_) => "io",
        Way::Helper { .. } => "helper",
        Way::Answer(_) => "answer",
        Way::Version(_) => "version",
        Way::Timeout(_) => "timeout",
    }
}

#[test]
fn errors_of_a_docker_that_is_not_reached() {
    let helper =
        |said: &str| vec![(Via::DialStdio, Way::Helper { exit: Exit::Code(1), said: said.into() })];
    let ssh = SshError::Refused { what: "a channel".into(), why: "prohibited".into() };
    let tried = vec![
        vec![(Via::ForwardedSocket, Way::Ssh(ssh)), (Via::DialStdio, Way::Answer("HELO".into()))],
        helper("sh: 1: docker: not found"),
        helper("permission denied while trying to connect to the Docker daemon socket"),
        helper("Cannot connect to the Docker daemon at unix:///var/run/docker.sock"),
        vec![(Via::ForwardedSocket, Way::Timeout(Duration::from_secs(10)))],
        vec![(Via::Local, Way::Io(io::ErrorKind::NotFound.into()))],
        vec![(Via::ForwardedSocket, Way::Version(bollard::errors::Error::APIVersionParseError {}))],
    ];
    let kinds = tried.iter().flatten().map(|(_, way)| way_kind(way)).collect();
    all(&["ssh", "io", "helper", "answer", "version", "timeout"], &kinds);
    let text: Vec<_> = tried
        .into_iter()
        .map(|tried| {
            let error = DockerUnreachable { socket: "/var/run/docker.sock".into(), tried };
            assert!(error.hint().is_some(), "{error}");
            let host = HostError { hint: error.hint(), ..HostError::new(error.to_string()) };
            shown("Docker cannot be used", host)
        })
        .collect();
    assert_snapshot!(text.join("\n"));
}

#[test]
fn errors_of_images_locks_programs_and_the_demo() {
    let mut text = Vec::new();
    let image = |e: &ImageError| match e {
        ImageError::Silent(_) => "silent",
        ImageError::Docker(_) => "docker",
        ImageError::File(_) => "file",
    };
    let images = [
        ImageError::Silent(Duration::from_secs(60)),
        ImageError::Docker(bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            message: "manifest unknown".into(),
        }),
        ImageError::File("read 3 of 5 bytes".into()),
    ];
    all(&["silent", "docker", "file"], &images.iter().map(image).collect());
    text.extend(images.map(|e| shown("pull ceph:v19", HostError::new(e.to_string()))));

    let archive = |e: &ArchiveError| match e {
        ArchiveError::Io(_) => "io",
        ArchiveError::Not(_) => "not",
        ArchiveError::Lacks(_) => "lacks",
    };
    let archives = [
        ArchiveError::Io(io::ErrorKind::NotFound.into()),
        ArchiveError::Not("it has no manifest.json".into()),
        ArchiveError::Lacks(vec!["ceph:v18".into()]),
    ];
    all(&["io", "not", "lacks"], &archives.iter().map(archive).collect());
    text.extend(archives.map(|e| shown("./ceph.tar", HostError::new(e.to_string()))));

    let program = |e: &ProgramError| match e {
        ProgramError::Io(_) => "io",
        ProgramError::Not => "not",
    };
    let programs = [ProgramError::Io(io::ErrorKind::NotFound.into()), ProgramError::Not];
    all(&["io", "not"], &programs.iter().map(program).collect());
    text.extend(programs.map(|e| shown("./cephdock-arm64", HostError::new(e.to_string()))));

    let lock = |e: &LockError| match e {
        LockError::Taken { .. } => "taken",
        LockError::Failed { .. } => "failed",
    };
    let who = "ops@laptop, process 4711, cephdock up".to_owned();
    let source = HostError::new("the node did not answer within 10 s");
    let locks = [
        LockError::Taken { node: node("B1"), who },
        LockError::Failed { node: node("B1"), source },
    ];
    all(&["taken", "failed"], &locks.iter().map(lock).collect());
    text.extend(locks.map(|e| shown("lock", HostError::new(e.to_string()))));

    let demo = |e: &Refused| match e {
        Refused::Foreign(_) => "foreign",
        Refused::OtherImage(_) => "image",
    };
    let refused = [Refused::Foreign("container"), Refused::OtherImage("ceph:v18".into())];
    all(&["foreign", "image"], &refused.iter().map(demo).collect());
    text.extend(refused.map(|e| shown("demo", HostError::new(e.to_string()).hint(e.hint()))));
    assert_snapshot!(text.join("\n"));
}

/// A daemon that falls over while it is waited for: what `up` says in the end.
#[test]
fn the_error_of_a_daemon_that_falls_over() {
    let failure = Failure {
        what: "B1: osd.2 on B2 falls over again and again".into(),
        causes: vec!["files were removed from its data directory, /var/lib/ceph/osd/ceph-2".into()],
        log: vec![
            "osd.2 on B2 does not run or was restarted; its log says:".into(),
            "2026-11-26T18:17:18.248+0000 7f191d8696c0 -1 missing 'type' file and unable to infer osd type".into(),
        ],
        hint: Some("put them back. For an OSD on a disk of its own: on the node `docker rm -f osd-2`, `mv /var/lib/ceph/osd/ceph-2 /root/`, then `cephdock up` makes it anew from the disk".into()),
    };
    let text = error::render(&failure, &PLAIN);
    fits(&text, PLAIN.width);
    assert_snapshot!(text);
}
