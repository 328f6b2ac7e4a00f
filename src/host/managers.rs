//! What is known of package managers: how each is called, and what its words mean. Pure.

use std::time::Duration;

use super::HostError;
use crate::facts::PackageManager;

/// How long another package manager may be at work: a machine's nightly upgrade takes some minutes.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(600);
/// A manager that says nothing for this long has hung; a large package on a slow line says nothing for minutes.
pub(super) const SILENCE: Duration = Duration::from_secs(900);
/// And one that talks for this long comes to no end.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The shell command that installs the package `$1`: no more than it needs, and nothing is removed for it.
pub(super) fn installs(manager: PackageManager) -> &'static str {
    match manager {
        PackageManager::Apt => {
            "apt-get -y -q --no-install-recommends --no-remove -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install \"$1\""
        }
        PackageManager::Dnf => {
            "dnf -y --setopt=exit_on_lock=True --setopt=install_weak_deps=False install \"$1\""
        }
        PackageManager::Yum => "yum -y --setopt=exit_on_lock=True install \"$1\"",
        PackageManager::Zypper => {
            "zypper --non-interactive install --no-recommends --auto-agree-with-licenses \"$1\""
        }
        PackageManager::Apk => "apk add --no-progress \"$1\"",
    }
}

/// The shell command that fetches anew what the repositories have.
pub(super) fn refreshes(manager: PackageManager) -> &'static str {
    match manager {
        PackageManager::Apt => "apt-get -q update",
        PackageManager::Dnf => "dnf -y --setopt=exit_on_lock=True --refresh makecache",
        PackageManager::Yum => "yum -y --setopt=exit_on_lock=True makecache",
        PackageManager::Zypper => "zypper --non-interactive refresh",
        PackageManager::Apk => "apk update --no-progress",
    }
}

/// What a manager came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Another one is at work; its own words.
    Locked(String),
    /// It failed.
    Failed(Failed),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) why: Why,
    /// The manager's own words.
    pub(super) words: String,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Why {
    /// No repository has the package.
    Missing,
    /// A disk is full.
    NoSpace,
    /// dpkg was cut off once, and has to be told to go on.
    Interrupted,
    Other,
}

/// Every name of a package is missing: the words about the last one tell as much as all.
pub(super) fn later(before: Option<Failed>, now: Failed) -> Failed {
    before.filter(|b| b.why != Why::Missing).unwrap_or(now)
}

/// Where the lists could not be fetched either, that is the likelier cause.
pub(super) fn with_update(failed: Option<Failed>, update: Failed) -> Failed {
    match failed {
        Some(failed) => Failed {
            words: format!("{}; {}", failed.words, update.words),
            why: if failed.why == Why::Missing { Why::Missing } else { update.why },
        },
        None => update,
    }
}

/// What the manager's output and exit code mean.
pub(super) fn judge(manager: PackageManager, code: i32, said: &[String]) -> Outcome {
    // what zypper says of an installation that was done: that a reboot (102) or its own restart (103) would be due, that
    // it did without some repository (106), that a package's script failed (107)
    let informs = manager == PackageManager::Zypper && matches!(code, 102 | 103 | 106 | 107);
    if code == 0 || informs {
        return Outcome::Done;
    }
    if let Some(line) = said.iter().find(|line| is_lock(line)) {
        return Outcome::Locked(line.clone());
    }
    let all = said.join("\n").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| all.contains(word));
    let why = if says(&["no space left", "enough free space", "not enough space", "disk full"]) {
        Why::NoSpace
    } else if says(&["dpkg was interrupted"]) {
        Why::Interrupted
    } else if says(&[
        "unable to locate package",
        "no installation candidate",
        "unable to find a match",
        "no match for argument",
        "no package ceph",
        "no provider of",
        "no such package",
        "no enabled repositories",
        "no repositories defined",
    ]) {
        Why::Missing
    } else {
        Why::Other
    };
    Outcome::Failed(Failed { why, words: words(said) })
}

/// Another package manager, or rpm, is at work.
pub(super) fn is_lock(line: &str) -> bool {
    let line = line.to_lowercase();
    [
        "could not get lock",                      // apt
        "unable to acquire the dpkg frontend lock",
        "frontend lock was locked by",             // dpkg
        "already locked by",                       // dnf
        "failed to obtain rpm transaction lock",   // dnf 5
        "waiting for process with pid",
        "another copy is running",                 // yum
        "currently holding the yum lock",
        "waiting for transaction lock",            // rpm
        "system management is locked",             // zypper
    ]
    .iter()
    .any(|words| line.contains(words))
        // apk and rpm say in the same way that a file system cannot be written
        || line.contains("temporar")
            && ["unable to lock database", "create transaction lock"].iter().any(|w| line.contains(w))
}

/// The lines in which a manager says what is wrong, else its last ones.
fn words(said: &[String]) -> String {
    const STARTS: [&str; 8] =
        ["E: ", "Error", "ERROR", "error:", "dpkg: error", "No match", "No provider", "No package"];
    let mut telling: Vec<&str> = Vec::new();
    let mut follows = 0;
    for line in said {
        let tells = STARTS.iter().any(|start| line.starts_with(start));
        if tells && line.ends_with(':') {
            follows = 3; // what it announces
        }
        if (tells || follows > 0) && !telling.contains(&line.as_str()) {
            telling.push(line);
        }
        follows -= i32::from(follows > 0 && !tells);
    }
    if telling.is_empty() {
        telling = said.iter().rev().take(2).rev().map(String::as_str).collect();
    }
    let text = telling.iter().take(5).copied().collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    if text.is_empty() { "it said nothing".into() } else { text.chars().take(600).collect() }
}

/// What of a manager's output is worth showing while it runs.
pub(super) fn progress(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    match words.next()? {
        // Get:3 http://mirror suite/component arch PACKAGE …; a flat repository has fewer words
        start if start.starts_with("Get:") => {
            let name = words
                .skip(1)
                .find(|w| !w.contains('/') && !matches!(*w, "amd64" | "arm64" | "all"))?;
            Some(format!("downloading {name}"))
        }
        "Unpacking" => Some(format!("unpacking {}", words.next()?)),
        "Setting" => Some(format!("setting up {}", words.nth(1)?)),
        "Installing" | "Upgrading" | "Downloading:" | "Retrieving:" => Some(line.to_owned()),
        start if start.starts_with('(') && start.contains('/') => Some(line.to_owned()),
        _ => None,
    }
}

pub(super) fn locked(manager: PackageManager, words: &str) -> HostError {
    HostError::new(format!(
        "{manager} waited {} s for another package manager: {words}",
        LOCK_PATIENCE.as_secs()
    ))
    .hint("let it end, or end it, on the node; then run the same command again")
}

pub(super) fn hung(manager: PackageManager, last: &str) -> HostError {
    HostError::new(format!("{manager} does not come to an end; the last that it said is: {last}"))
        .hint("look at it on the node (it was not ended), then run the same command again")
}

/// The error of an installation.
pub(super) fn told(manager: PackageManager, packages: &[String], failed: &Failed) -> HostError {
    let what = packages.join(" or ");
    let error = HostError::new(format!("{manager} could not install {what}: {}", failed.words));
    let off = "the cluster itself is up; `client.packages: off` leaves the packages to you";
    error.hint(match failed.why {
        Why::Missing => format!("{}; {off}", to_add(manager)),
        Why::NoSpace => "make room on the node's disk, then run the same command again".into(),
        Why::Interrupted => {
            "`dpkg --configure -a` on the node ends what was cut off there, then run the same command again".into()
        }
        Why::Other => format!("mend that on the node, then run the same command again; {off}"),
    })
}

/// Where the package comes from when a distribution's own repositories lack it.
fn to_add(manager: PackageManager) -> &'static str {
    match manager {
        PackageManager::Apt => {
            "add a repository that has it: `main` of Debian or Ubuntu, or Ceph's own (https://docs.ceph.com/en/latest/install/get-packages/)"
        }
        PackageManager::Dnf | PackageManager::Yum => {
            "add a repository that has it: `centos-release-ceph-squid` brings one to CentOS, Rocky and Alma, or Ceph's own (https://docs.ceph.com/en/latest/install/get-packages/)"
        }
        PackageManager::Zypper => {
            "add a repository that has it: filesystems:ceph on download.opensuse.org, or Ceph's own (https://docs.ceph.com/en/latest/install/get-packages/)"
        }
        PackageManager::Apk => "add the `community` repository to /etc/apk/repositories",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a manager came to, from what it really said.
    fn after(manager: PackageManager, code: i32, said: &str) -> Outcome {
        let lines: Vec<String> =
            said.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        judge(manager, code, &lines)
    }

    fn failed(outcome: Outcome) -> (Why, String) {
        match outcome {
            Outcome::Failed(failed) => (failed.why, failed.words),
            other => panic!("{other:?}"),
        }
    }

    const APT: PackageManager = PackageManager::Apt;
    const DNF: PackageManager = PackageManager::Dnf;
    const ZYPPER: PackageManager = PackageManager::Zypper;
    const APK: PackageManager = PackageManager::Apk;

    #[test]
    fn a_repository_without_the_package() {
        let apt = "Reading package lists...\nBuilding dependency tree...\nE: Unable to locate package ceph-common\n";
        let words = "E: Unable to locate package ceph-common".to_owned();
        assert_eq!(failed(after(APT, 100, apt)), (Why::Missing, words));
        let dnf = "lab  14 kB/s | 123  B     00:00\nNo match for argument: ceph-common\nError: Unable to find a match: ceph-common\n";
        let words =
            "No match for argument: ceph-common; Error: Unable to find a match: ceph-common";
        assert_eq!(failed(after(DNF, 1, dnf)), (Why::Missing, words.into()));
        let none = "Error: There are no enabled repositories in \"/etc/yum.repos.d\".\n";
        assert_eq!(failed(after(DNF, 1, none)).0, Why::Missing);
        let zypper = "Loading repository data...\n'ceph-common' not found in package names. Trying capabilities.\nNo provider of 'ceph-common' found.\n";
        let words = "No provider of 'ceph-common' found.".to_owned();
        assert_eq!(failed(after(ZYPPER, 104, zypper)), (Why::Missing, words));
        let apk = "ERROR: unable to select packages:\n  ceph19-common (no such package):\n    required by: world[ceph19-common]\n";
        let words = "ERROR: unable to select packages: ceph19-common (no such package):; required by: world[ceph19-common]";
        assert_eq!(failed(after(APK, 1, apk)), (Why::Missing, words.replace(":; ", ": ")));
    }

    #[test]
    fn another_manager_at_work() {
        let apt = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (python3)\nN: Be aware that removing the lock file is not a solution and may break your system.\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n";
        let words = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (python3)";
        assert_eq!(after(APT, 100, apt), Outcome::Locked(words.into()));
        for (manager, code, said) in [
            (DNF, 200, "metadata already locked by 1303\nThe application with PID 1303 is: bash"),
            (
                DNF,
                1,
                "RPM: error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\nError: Could not run transaction.",
            ),
            (
                ZYPPER,
                7,
                "System management is locked by the application with pid 1303 (bash).\nClose this application before trying again.",
            ),
            (
                PackageManager::Yum,
                1,
                "Existing lock /var/run/yum.pid: another copy is running as pid 9.",
            ),
            (APK, 99, "ERROR: Unable to lock database: temporary error (try again later)"),
        ] {
            assert!(matches!(after(manager, code, said), Outcome::Locked(_)), "{said}");
        }
        // that would be waited for in vain
        let read_only = "ERROR: Unable to lock database: Read-only file system";
        assert_eq!(failed(after(APK, 99, read_only)).0, Why::Other);
        let read_only = "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Read-only file system)";
        assert_eq!(failed(after(DNF, 1, read_only)).0, Why::Other);
    }

    #[test]
    fn a_full_disk_and_an_interrupted_dpkg() {
        let full = "E: You don't have enough free space in /var/cache/apt/archives/.";
        assert_eq!(failed(after(APT, 100, full)), (Why::NoSpace, full.into()));
        let write = "dpkg: error processing archive x.deb (--unpack): cannot copy extracted data: failed to write (No space left on device)";
        assert_eq!(failed(after(APT, 100, write)).0, Why::NoSpace);
        let cut = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.";
        assert_eq!(failed(after(APT, 100, cut)).0, Why::Interrupted);
    }

    #[test]
    fn what_an_error_announces_is_said_too() {
        let dnf = "Dependencies resolved.\nError:\n Problem: conflicting requests\n  - nothing provides /bin/sh needed by ceph-common-18.2.7-1.noarch from lab\n";
        let words = "Error: Problem: conflicting requests; - nothing provides /bin/sh needed by ceph-common-18.2.7-1.noarch from lab";
        assert_eq!(failed(after(DNF, 1, dnf)), (Why::Other, words.into()));
    }

    #[test]
    fn what_went_well() {
        assert_eq!(after(APT, 0, "Setting up ceph-common"), Outcome::Done);
        assert_eq!(after(ZYPPER, 102, "reboot needed"), Outcome::Done);
        assert_eq!(failed(after(APT, 100, "")), (Why::Other, "it said nothing".into()));
    }

    #[test]
    fn an_error_says_what_to_add_and_how_to_do_without() {
        let missing = Failed { why: Why::Missing, words: "E: Unable to locate package x".into() };
        let update = Failed { why: Why::Other, words: "E: Failed to fetch http://m/".into() };
        let error = told(APT, &["x".to_owned()], &with_update(Some(missing), update));
        assert_eq!(
            error.what,
            "apt-get could not install x: E: Unable to locate package x; E: Failed to fetch http://m/"
        );
        let hint = error.hint.expect("a hint");
        assert!(
            hint.contains("add a repository") && hint.contains("client.packages: off"),
            "{hint}"
        );
    }

    #[test]
    fn progress_in_words() {
        let flat = "Get:53 http://registry.lab:8000 ./ ceph-common 18.2.7+ds-1+deb13u1 [13.7 MB]";
        assert_eq!(progress(flat).as_deref(), Some("downloading ceph-common"));
        let usual =
            "Get:2 http://deb.debian.org/debian trixie/main amd64 librbd1 amd64 18.2.7 [1 MB]";
        assert_eq!(progress(usual).as_deref(), Some("downloading librbd1"));
        let unpacking = "Unpacking librbd1 (18.2.7+ds-1+deb13u1) ...";
        assert_eq!(progress(unpacking).as_deref(), Some("unpacking librbd1"));
        let setting = "Setting up librbd1 (18.2.7+ds-1+deb13u1) ...";
        assert_eq!(progress(setting).as_deref(), Some("setting up librbd1"));
        assert_eq!(progress("Reading package lists..."), None);
    }
}
