//! The command line: clap types only. Their doc comments are the help.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inventory::NodeName;

mod volume;

pub use volume::{Snap, SnapName, Unstick, Volume, VolumeGrow, VolumeName};

/// Turns plain Docker hosts into a Ceph cluster: one inventory, SSH, one command.
///
/// cephdock looks at every node, plans what is missing and does it, until nothing is. Run it again and nothing happens;
/// stop it anywhere and run it again and it finishes.
#[derive(Debug, Parser)]
#[command(name = "cephdock", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cephdock init --scan b1 b2 b3   write an inventory of these hosts
  cephdock check                  what could stop `up`, and how to mend it
  cephdock plan                   what `up` would do, and why
  cephdock up                     make the cluster of ./inventory.yaml
  cephdock status                 how it is
  cephdock add-node B4            take in one more node of the inventory
  cephdock -i lab.yaml status --watch

Exit codes: 0 done, healthy, nothing to do · 1 failed · 2 usage or inventory
            3 refused, to protect data · 4 not converged or not healthy · 130 stopped by Ctrl-C";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The inventory: which nodes there are and what they run.
    #[arg(
        short,
        long,
        global = true,
        value_name = "PATH",
        default_value = "./inventory.yaml",
        env = "CEPHDOCK_INVENTORY"
    )]
    pub inventory: PathBuf,
    /// Print JSON on stdout and nothing else: one object of what was looked at, one event a line of what is done.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what is wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Colours: on a terminal, and not where `NO_COLOR` is set.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
    /// Answer every question with yes.
    #[arg(short, long, global = true)]
    pub yes: bool,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the cluster as the inventory says; do nothing where it is.
    ///
    /// Disks are formatted only if they are blank: a filesystem, a partition, LVM, another cluster's OSD or anything
    /// else on one is refused (exit code 3) before anything is touched.
    #[command(
        after_help = "Examples:\n  cephdock up\n  cephdock -i lab.yaml up --json | jq .event\n  cephdock up --dry-run"
    )]
    Up(Up),
    /// Take one more node into a cluster that runs, and leave the others as they are.
    ///
    /// The node is in the inventory already, or `--address` and what it shall run put it there, as the last entry and
    /// with nothing else in the file changed. On the other nodes only ceph.conf is written anew, where the node holds a
    /// mon. Run it again after whatever went wrong and it goes on.
    #[command(
        after_help = "Examples:\n  cephdock add-node B4\n  cephdock add-node B4 --address 10.32.3.150 --role osd --device /dev/sdb\n  cephdock add-node B5 --address 10.32.3.151          a pure client"
    )]
    AddNode(AddNode),
    /// Write an inventory: from what hosts show of themselves, from options, or by asking.
    ///
    /// With --scan it logs in to the hosts, looks at their addresses, disks and Docker, and proposes roles and blank
    /// disks; nothing is changed on them. With --node it takes your word for it. With neither it asks. The file (see
    /// --inventory) is commented and yours to edit; one that is there already is never overwritten.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Look for everything that could stop `up`, on all nodes and between them, before anything is touched.
    ///
    /// Logins, Docker, addresses, ports, every node's connections to every other on Ceph's own ports, large packets,
    /// clocks, disks, traces of other clusters, the image in its registry, memory and room. Each finding says what was
    /// seen, why it matters and what to do. Exit code 1 if anything stands in the way. Writes nothing anywhere: for a
    /// few seconds something listens on each node's Ceph ports, unless --no-connections says otherwise.
    #[command(
        after_help = "Examples:\n  cephdock check\n  cephdock check --json | jq '.findings[] | select(.level == \"fail\")'"
    )]
    Check(Check),
    /// Show what `up` would do, and why. Writes nothing anywhere.
    #[command(
        after_help = "Examples:\n  cephdock plan\n  cephdock plan --check && echo 'nothing to do'"
    )]
    Plan(Plan),
    /// Show the cluster's health and every daemon on every node.
    ///
    /// Works with nodes that are off and with no mon answering, and says so. Exit code 4 unless all is well.
    #[command(
        after_help = "Examples:\n  cephdock status\n  cephdock status --watch\n  cephdock status --json | jq .health"
    )]
    Status(Status),
    /// Try it out: a whole one-node cluster in one container of this machine's own Docker.
    ///
    /// No SSH, no inventory, nothing outside that container and its volume, 2 GiB of memory at most. Run again it does
    /// nothing, or goes on where it was stopped.
    #[command(
        after_help = "Examples:\n  cephdock demo\n  docker exec cephdock-demo ceph -s\n  cephdock demo --down"
    )]
    Demo(Demo),
    /// Third-party volume plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Show what a daemon says, on stdout.
    ///
    /// With `--json` an object a line: node, daemon, stream, line. A key that a daemon complains about is taken out.
    #[command(
        after_help = "Examples:\n  cephdock logs B1 mon\n  cephdock logs B2 osd-3 -n 500\n  cephdock logs B1 mgr --follow"
    )]
    Logs(Logs),
    /// Pack everything that helps to find out what is wrong into one archive, without keys and passwords.
    ///
    /// Versions, the status, what was seen on each node, the daemons' logs, the inventory, and logs of the last runs. Works
    /// with nodes that are off.
    #[command(after_help = "Example:\n  cephdock support -o trouble.tar.gz")]
    Support(Support),
    /// Run a ceph command in the container of the first mon that runs.
    ///
    /// Files that it reads and writes are the container's; `-i -` and `-o -` are stdin and stdout here. It ends with
    /// cephdock, gives up on mons that do not answer after 30 s (`--connect-timeout`), and with `--json` before the `--` is
    /// asked for JSON. Exit code 1 if it fails.
    #[command(
        after_help = "Examples:\n  cephdock ceph -- -s\n  cephdock ceph -- osd df tree\n  cephdock ceph -- health detail --format json-pretty\n  cephdock ceph -- auth import -i - <client.keyring"
    )]
    Ceph(Ceph),
    /// See and mend the volumes of all nodes, and prove that they work.
    #[command(after_help = volume::EXAMPLES)]
    Volume {
        /// What to do.
        #[command(subcommand)]
        command: Volume,
    },
    /// Serve Docker's volumes on this node: what systemd runs, installed by `up`.
    ///
    /// Listens where Docker looks for a volume driver called cephdock, maps images with this machine's `rbd` and mounts
    /// them. It may be restarted at any time: what is mounted stays.
    #[command(
        after_help = "Example:\n  cephdock volume-driver --node B1 --pool rbd\n  docker run -v data:/data --volume-driver cephdock IMAGE"
    )]
    VolumeDriver(VolumeDriver),
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  cephdock completions bash >/etc/bash_completion.d/cephdock"
    )]
    Completions(Completions),
    /// Print the manual page, or that of a command.
    #[command(
        after_help = "Examples:\n  cephdock man | man -l -\n  cephdock man volume rm | man -l -"
    )]
    Man(Man),
    /// Take the cluster down: everything that cephdock made, on every node. Or take one node out of it.
    ///
    /// Shows first what goes: containers, files in /etc/ceph and /var/lib/ceph, and disks with serial number and size.
    /// Then it asks for the cluster's fsid. Disks that carry the cluster's OSDs are wiped. Files of your own stay, and
    /// so do packages. Nodes that cannot be reached are named and left out (exit code 1); run it again when they are
    /// back. Refused (exit code 3) while an RBD image is mapped on a node.
    #[command(after_help = RESET_EXAMPLES)]
    Reset(Reset),
}

const INIT_EXAMPLES: &str = "\
Examples:
  cephdock init --scan 10.32.3.147 10.32.3.148 10.32.3.149
  cephdock init --scan b1 b2 ops@b3:2222 --network 10.32.3.0/24
  cephdock init --node B1=10.32.3.147 --node B2=10.32.3.148 --network 10.32.3.0/24 --device /dev/sdb
  cephdock init                             asks";

const RESET_EXAMPLES: &str = "\
Examples:
  cephdock reset                            shows what goes and asks
  cephdock reset --dry-run                  only shows it
  cephdock reset --yes --fsid 1b4c8e0a-5d9f-4a37-9c53-6f0e2d7b8a11
  cephdock reset --node B4                  moves B4's data to the others and takes it out of the cluster
  cephdock reset --keep-data                removes the containers; `cephdock up` brings the cluster back";

/// `reset`.
#[derive(Debug, Clone, Args)]
pub struct Reset {
    /// Only this node, out of the cluster too.
    ///
    /// Its OSDs' data is moved to the other nodes first, which takes as long as there is data. Refused where they have
    /// no room, or where mons or data would be lost. Take its entry out of the inventory afterwards.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// The cluster that is to go, as `cephdock status` shows it. With --yes it answers the question.
    #[arg(long, value_name = "FSID")]
    pub fsid: Option<uuid::Uuid>,
    /// Keep what cannot be made again: disks, OSD directories, mon stores and the cluster's identity.
    ///
    /// `cephdock up` brings the same cluster back with all its data. A later `reset` takes the rest.
    #[arg(long, conflicts_with = "node")]
    pub keep_data: bool,
    /// Only show what would go.
    #[arg(long)]
    pub dry_run: bool,
}

/// `up`.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Only show what would be done, like `plan`.
    #[arg(long)]
    pub dry_run: bool,
}

/// `add-node`.
#[derive(Debug, Clone, Args)]
pub struct AddNode {
    /// The node's name, in the inventory or to be put there.
    #[arg(value_name = "NAME", value_parser = NodeName::new)]
    pub name: NodeName,
    /// Its address in the public network. Puts the node into the inventory.
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// What it runs; say it once for each. Without any it is a pure client.
    #[arg(long, value_enum, value_name = "ROLE", requires = "address", value_delimiter = ',')]
    pub role: Vec<Role>,
    /// A whole blank disk for an OSD, such as /dev/sdb; once for each.
    #[arg(long, value_name = "PATH", requires = "address")]
    pub device: Vec<PathBuf>,
    /// The size of an OSD in a file, such as 20GiB: for trying it out.
    #[arg(long, value_name = "SIZE", requires = "address")]
    pub file: Vec<String>,
    /// Where SSH finds it, if not at its address.
    #[arg(long, value_name = "HOST", requires = "address")]
    pub ssh_host: Option<String>,
    /// Its SSH port, if not the inventory's.
    #[arg(long, value_name = "PORT", requires = "address")]
    pub ssh_port: Option<u16>,
    /// The login on it, if not the inventory's.
    #[arg(long, value_name = "USER", requires = "address")]
    pub ssh_user: Option<String>,
    /// Its host key, as `ssh-keygen -l` prints it.
    #[arg(long, value_name = "SHA256:...", requires = "address")]
    pub fingerprint: Option<String>,
    /// Only show what would be done; write nothing anywhere, not the inventory either.
    #[arg(long)]
    pub dry_run: bool,
}

/// `--role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Runs a mon.
    Mon,
    /// Runs a mgr.
    Mgr,
    /// Runs OSDs: `--device` or `--file` says on what.
    Osd,
}

/// `init`.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// Log in to these hosts and look at them; `[USER@]HOST[:PORT]` each.
    #[arg(long, value_name = "HOST", num_args = 1.., value_delimiter = ',', conflicts_with = "node")]
    pub scan: Vec<String>,
    /// A node, without looking at it; once for each.
    #[arg(long, value_name = "NAME=ADDRESS", requires = "network")]
    pub node: Vec<String>,
    /// The network in which Ceph is reached. Default: the one that all hosts are in.
    #[arg(long, value_name = "CIDR")]
    pub network: Option<ipnet::IpNet>,
    /// A whole blank disk for an OSD, on every host; once for each. Default: all blank disks that are seen.
    #[arg(long, value_name = "PATH")]
    pub device: Vec<String>,
    /// An OSD in a file of this size on every host, such as 20GiB: for trying it out.
    #[arg(long, value_name = "SIZE")]
    pub file: Option<String>,
    /// The image that holds the Ceph programs.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The login [default: root]. Another one needs sudo without a password.
    #[arg(long, value_name = "USER")]
    pub ssh_user: Option<String>,
    /// The SSH port [default: 22].
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
    /// A private key. Default: the agent's, then the usual ones in ~/.ssh.
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<String>,
    /// A bastion, `[USER@]HOST[:PORT]`, or several with commas.
    #[arg(long, value_name = "HOST")]
    pub ssh_jump: Option<String>,
    /// The `known_hosts` file. Default: that in `~/.ssh`.
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<String>,
    /// Trust hosts that `known_hosts` does not name.
    #[arg(long)]
    pub accept_new: bool,
}

/// `check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Do not try connections and large packets between the nodes.
    #[arg(long)]
    pub no_connections: bool,
}

/// `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Exit with 4 unless there is nothing to do.
    #[arg(long)]
    pub check: bool,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// Show it again every few seconds, until Ctrl-C.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
}

/// `plugin`.
#[derive(Debug, Clone, Subcommand)]
pub enum Plugin {
    /// Copy a plugin into a private registry, for nodes that reach no other.
    ///
    /// One node's Docker pulls it, disabled, pushes it and removes it again. It has to reach both registries; a login is
    /// `cluster.registry` in the inventory.
    #[command(after_help = "Example:
  cephdock plugin mirror rexray/rbd 10.32.3.112:5011
and then in the inventory:
  volumes: {driver: rexray/rbd, alias: 10.32.3.112:5011/rexray/rbd}")]
    Mirror(Mirror),
}

/// `plugin mirror`.
#[derive(Debug, Clone, Args)]
pub struct Mirror {
    /// The plugin, such as `rexray/rbd`.
    #[arg(value_name = "PLUGIN", value_parser = reference)]
    pub plugin: String,
    /// Host and port of the registry, and a folder in it where it shall be in one.
    #[arg(value_name = "REGISTRY", value_parser = private)]
    pub registry: String,
    /// The node whose Docker does it [default: the first that is reached].
    #[arg(long, value_name = "NODE", value_parser = NodeName::new)]
    pub node: Option<NodeName>,
}

/// `logs`.
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// The node it runs on.
    #[arg(value_name = "NODE", value_parser = NodeName::new)]
    pub node: NodeName,
    /// `mon`, `mgr`, or `osd-3` for OSD number 3.
    #[arg(value_name = "DAEMON")]
    pub daemon: String,
    /// How many of the last lines.
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    pub lines: usize,
    /// Go on with what comes, until Ctrl-C or until the daemon ends (exit code 4).
    #[arg(short, long)]
    pub follow: bool,
}

/// `support`.
#[derive(Debug, Clone, Args)]
pub struct Support {
    /// The archive, a file that is not there yet [default: cephdock-support-TIME.tar.gz].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `ceph`.
#[derive(Debug, Clone, Args)]
pub struct Ceph {
    /// What follows `ceph`, after `--`.
    #[arg(value_name = "ARGS", required = true, last = true)]
    pub args: Vec<String>,
}

/// `volume-driver`.
#[derive(Debug, Clone, Args)]
pub struct VolumeDriver {
    /// Where to listen.
    #[arg(long, value_name = "PATH", default_value = crate::volume::unit::SOCKET_PATH)]
    pub socket: PathBuf,
    /// Where volumes are mounted, and what is in use is written down.
    #[arg(long, value_name = "DIR", default_value = crate::volume::unit::ROOT)]
    pub root: PathBuf,
    /// This node's name, for others that want a volume which is in use here. Default: the host's.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// A pool that volumes are in; once for each. New ones go to the first.
    #[arg(long, value_name = "POOL", default_value = "rbd")]
    pub pool: Vec<String>,
    /// The Ceph user, without `client.`.
    #[arg(long, value_name = "NAME", default_value = crate::volume::unit::USER)]
    pub user: String,
    /// The size of a volume that is made without one.
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = size)]
    pub size: u64,
    /// The features of new images. Default: what this kernel can map.
    #[arg(long, value_name = "FEATURES")]
    pub features: Option<String>,
    /// The rbd program.
    #[arg(long, value_name = "PROGRAM", default_value = "rbd")]
    pub rbd: String,
    /// The rados program.
    #[arg(long, value_name = "PROGRAM", default_value = "rados")]
    pub rados: String,
    /// Where sysfs is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys", hide = true)]
    pub sys: PathBuf,
}

/// `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// A command, such as `up` or `volume rm`; without one, the page of cephdock itself.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Remove the demo and all that is in it.
    #[arg(long)]
    pub down: bool,
    /// Take this image, which holds the Ceph programs [default: quay.io/ceph/ceph:v19].
    #[arg(long, value_name = "IMAGE", conflicts_with = "down")]
    pub image: Option<String>,
}

fn size(text: &str) -> Result<u64, String> {
    crate::inventory::size(text).map_err(|(what, fix)| format!("{what}; {fix}"))
}

fn reference(text: &str) -> Result<String, String> {
    crate::inventory::reference(text).map_err(|(what, fix)| format!("{what}; {fix}"))
}

fn private(text: &str) -> Result<String, String> {
    let whole = reference(&format!("{}/x", text.trim_end_matches('/')))?;
    if crate::image::registry(&whole) == "docker.io" {
        return Err(
            "not a private registry: write its host and port, such as 10.32.3.112:5000".into()
        );
    }
    Ok(text.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.2..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.2 and 86400 seconds".into())
    }
}
