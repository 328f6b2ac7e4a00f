//! What systemd and Docker are told about the driver. Pure: texts and paths, for whoever installs it.

/// The unit's name.
pub const UNIT: &str = "cephdock-volume-driver.service";
/// Where the unit lies.
pub const UNIT_PATH: &str = "/etc/systemd/system/cephdock-volume-driver.service";
/// Where the program lies on a node. Not under the name of a cephdock that somebody has put there to work with: that one
/// is never written over nor removed.
pub const PROGRAM_PATH: &str = "/usr/local/bin/cephdock-volume-driver";
/// The Ceph user that the driver is, without `client.`.
pub const USER: &str = "cephdock";
/// What Docker calls the driver: the name of its socket.
pub const DRIVER: &str = "cephdock";
/// The first words of the unit: it is ours.
pub const MARK: &str = "# written by cephdock;";
/// Where Docker finds the driver called `cephdock`: `docs/extend/plugin_api.md` of docker/cli.
pub const SOCKET_PATH: &str = "/run/docker/plugins/cephdock.sock";
/// The program while it is being sent.
pub const PROGRAM_PARTIAL: &str = "/usr/local/bin/cephdock-volume-driver.cephdock-new";
/// The unit while it is being written.
pub const UNIT_PARTIAL: &str = "/etc/systemd/system/cephdock-volume-driver.service.cephdock-new";
/// Where volumes are mounted, and beside them the driver's state.
pub const ROOT: &str = "/var/lib/cephdock";
/// What follows `cephdock volume-driver` on a node: its name, the pool, and the features of new images.
pub fn args(node: &str, pool: &str, features: &str) -> Vec<String> {
    ["--node", node, "--pool", pool, "--features", features].map(str::to_owned).to_vec()
}

/// The whole command of a driver with these `args`, each word as it is.
pub fn command(args: &[String]) -> String {
    let words: Vec<&str> = [PROGRAM_PATH, "volume-driver"]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect();
    words.join(" ")
}

/// The driver's state in [`ROOT`].
pub const STATE: &str = "volumes.json";
/// The folder of [`ROOT`] in which volumes are mounted.
pub const VOLUMES: &str = "volumes";

/// The files that there may be of a driver on a node besides its program, its unit and its key: unfinished ones, its
/// state (see [`super::state::State::save`]), its socket. And [`ROOT`], with the folders that volumes were mounted in.
pub fn left_behind() -> Vec<String> {
    let state = [STATE, "volumes.tmp"].map(|name| format!("{ROOT}/{name}"));
    [[PROGRAM_PARTIAL, UNIT_PARTIAL, SOCKET_PATH].map(str::to_owned).to_vec(), state.to_vec()]
        .concat()
}

/// The unit. `args` follow `cephdock volume-driver`; they hold no secrets.
///
/// Before Docker, so that containers with volumes come back by themselves after a boot. It waits for no Ceph: its mons
/// may be containers of this very Docker. Only the driver itself is killed, never what it has started, and nothing is
/// unmounted when it ends. However often it ends, it is started again.
pub fn unit(args: &[String]) -> String {
    let command = command(args).replace('%', "%%");
    format!(
        "{MARK} `cephdock reset` removes it
[Unit]
Description=Docker volumes on Ceph (cephdock)
After=network.target local-fs.target systemd-modules-load.service
Before=docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
Restart=always
RestartSec=1
TimeoutStopSec=130
KillMode=process
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target docker.service
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_before_docker_and_leaves_mounts_alone() {
        let text = unit(&args("B1", "rbd", "layering,exclusive-lock"));
        for line in [
            "ExecStart=/usr/local/bin/cephdock-volume-driver volume-driver --node B1 --pool rbd --features layering,exclusive-lock\n",
            "Before=docker.service\n",
            "Type=notify\n",
            "KillMode=process\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert!(
            !text.contains("Private") && !text.contains("MountFlags"),
            "its mounts are the host's"
        );
    }
}
