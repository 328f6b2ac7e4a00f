//! `volume`: clap types only. Their doc comments are the help.

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  cephdock volume ls
  cephdock volume test                      the same data on every node?
  cephdock volume grow data 40GiB
  cephdock volume unstick data              when its name cannot be used any more

Volumes are made by Docker, on any node: docker volume create -d cephdock -o size=10GiB data";

/// `volume`.
#[derive(Debug, Clone, Subcommand)]
pub enum Volume {
    /// List all volumes: size, what is used of it, who has it and how it is.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  cephdock volume ls\n  cephdock volume ls --json | jq '.volumes[] | select(.well | not)'"
    )]
    Ls,
    /// Show all that is known of a volume, on every node.
    #[command(after_help = "Example:\n  cephdock volume inspect data")]
    Inspect(VolumeName),
    /// Remove a volume and all that is in it.
    ///
    /// Asks for its name. Refused (exit code 3) while it is mapped, has snapshots, or a container on any node refers to
    /// it, running or not; and where cephdock's driver did not make it.
    #[command(
        after_help = "Examples:\n  cephdock volume rm data\n  cephdock volume rm data --yes       in scripts"
    )]
    Rm(VolumeName),
    /// Make a volume larger, and the filesystem in it.
    ///
    /// While it is in use that is possible if it was made with `-o lock=shared`; the filesystem grows at once then, and
    /// when it is mounted next otherwise.
    #[command(after_help = "Example:\n  cephdock volume grow data 40GiB")]
    Grow(VolumeGrow),
    /// Take snapshots of a volume, and bring it back to one.
    #[command(after_help = SNAP_EXAMPLES)]
    Snap {
        /// What to do.
        #[command(subcommand)]
        command: Snap,
    },
    /// Find on every node what keeps a volume's name from being used, and cure it.
    ///
    /// A volume that was removed on one node while others held it leaves stopped containers that refer to it, old
    /// mappings and locks behind. Shows what it finds and what it would do, and asks. It never unmaps what somebody
    /// uses, shuts out no client that is alive, and touches no container.
    #[command(
        after_help = "Examples:\n  cephdock volume unstick data\n  cephdock volume unstick data --dry-run\n  cephdock volume unstick data --yes       in scripts"
    )]
    Unstick(Unstick),
    /// Prove that volumes work: one node writes, all others read it in turn.
    ///
    /// Makes a volume of its own and removes it again, with the Ceph image that is on the nodes, so that nothing is
    /// pulled. Exit code 1 if a node could not.
    #[command(
        after_help = "Examples:\n  cephdock volume test\n  cephdock volume test --json | jq '.nodes[] | select(.error)'"
    )]
    Test,
}

const SNAP_EXAMPLES: &str = "\
Examples:
  cephdock volume snap create data monday
  cephdock volume snap ls data
  cephdock volume snap rollback data monday     what was written since is lost
  docker volume create -d cephdock -o from-snapshot=data@monday copy";

/// `volume snap`.
#[derive(Debug, Clone, Subcommand)]
pub enum Snap {
    /// Take a snapshot.
    ///
    /// While the volume is in use that is possible if it was made with `-o lock=shared`: its filesystem is held still
    /// for that moment, and thaws after 30 s by itself, whatever happens.
    Create(SnapName),
    /// List a volume's snapshots.
    #[command(visible_alias = "list")]
    Ls(VolumeName),
    /// Remove a snapshot. Asks for its name.
    Rm(SnapName),
    /// Bring a volume back to what it was. Asks for its name; refused (exit code 3) while it is in use.
    Rollback(SnapName),
}

/// A volume.
#[derive(Debug, Clone, Args)]
pub struct VolumeName {
    /// The volume.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `volume grow`.
#[derive(Debug, Clone, Args)]
pub struct VolumeGrow {
    /// The volume.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How large it shall be, such as 40GiB.
    #[arg(value_name = "SIZE", value_parser = super::size)]
    pub size: u64,
}

/// A snapshot of a volume.
#[derive(Debug, Clone, Args)]
pub struct SnapName {
    /// The volume.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The snapshot.
    #[arg(value_name = "SNAPSHOT", value_parser = snapshot)]
    pub snapshot: String,
}

/// `volume unstick`.
#[derive(Debug, Clone, Args)]
pub struct Unstick {
    /// The volume.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Only show what was found.
    #[arg(long)]
    pub dry_run: bool,
}

fn snapshot(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fine) {
        Ok(text.to_owned())
    } else {
        Err("use letters, digits, `_`, `.` and `-`, beginning with a letter or digit".into())
    }
}
