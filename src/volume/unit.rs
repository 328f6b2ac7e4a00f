//! What systemd and Docker are told about the driver. Pure: texts and paths, for whoever installs it.

/// The unit's name.
pub const UNIT: &str = "cephdock-volume-driver.service";
/// Where the unit lies.
pub const UNIT_PATH: &str = "/etc/systemd/system/cephdock-volume-driver.service";
/// Where the program lies on a node.
pub const PROGRAM_PATH: &str = "/usr/local/bin/cephdock";
/// Where Docker finds the driver called `cephdock`: `docs/extend/plugin_api.md` of docker/cli.
pub const SOCKET_PATH: &str = "/run/docker/plugins/cephdock.sock";
/// Where volumes are mounted, and beside them the driver's state.
pub const ROOT: &str = "/var/lib/cephdock";
/// The unit. `args` follow `cephdock volume-driver`; they hold no secrets.
///
/// Before Docker, so that containers with volumes come back by themselves after a boot. It waits for no Ceph: its mons
/// may be containers of this very Docker. Only the driver itself is killed, never what it has started, and nothing is
/// unmounted when it ends.
pub fn unit(args: &[&str]) -> String {
    let quoted: Vec<String> = args.iter().map(|a| a.replace('%', "%%")).collect();
    let command =
        [&[PROGRAM_PATH.to_owned(), "volume-driver".into()], &quoted[..]].concat().join(" ");
    format!(
        "# written by cephdock; `cephdock reset` removes it
[Unit]
Description=Docker volumes on Ceph (cephdock)
After=network.target local-fs.target systemd-modules-load.service
Before=docker.service

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
        let text = unit(&["--node", "B1", "--pool", "rbd"]);
        for line in [
            "ExecStart=/usr/local/bin/cephdock volume-driver --node B1 --pool rbd\n",
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
