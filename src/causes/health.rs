//! What to do about Ceph's health checks: one line each, where there is something to do that Ceph's own sentence does
//! not say. The codes are those of Ceph's manual ("Health checks"); what stands here are cephdock's ways to deal with
//! them.

use crate::status::Check;

/// What to do about the check of this code.
pub fn advice(code: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(codes, _)| codes.contains(&code)).map(|(_, line)| *line)
}

/// What to do about all checks of these codes, in one line; of one that is not known, where it is explained.
pub fn what_to_do<'a>(codes: impl Iterator<Item = &'a str>) -> String {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for code in codes {
        match advice(code) {
            Some(line) if known.contains(&line) => {}
            Some(line) => known.push(line),
            None => unknown.push(code),
        }
    }
    let mut lines: Vec<String> = known.into_iter().map(str::to_owned).collect();
    if !unknown.is_empty() || lines.is_empty() {
        let what = if unknown.is_empty() { "the warning".into() } else { unknown.join(", ") };
        lines.push(format!("`cephdock ceph -- health detail` explains {what}"));
    }
    lines.join("; ")
}

pub(super) const ADVICE: &[(&[&str], &str)] = &[
    (
        &[Check::NO_MON],
        "more than half of the mons have to run and reach each other on ports 3300 and 6789: `cephdock up` starts those that do not run, `cephdock check` looks at the ways between the nodes",
    ),
    (
        &["MON_DOWN"],
        "switch the mon's node on if it is off; `cephdock up` starts a mon that does not run",
    ),
    (
        &["MON_CLOCK_SKEW"],
        "have every node keep the time (chrony, or `timedatectl set-ntp true`); mons allow each other 50 ms, and `cephdock check` shows who is off",
    ),
    (&["MON_MSGR2_NOT_ENABLED"], "`cephdock ceph -- mon enable-msgr2`"),
    (
        &["MON_DISK_LOW", "MON_DISK_CRIT"],
        "make room under /var/lib/ceph/mon on that node: a mon does not start with less than 5 % free",
    ),
    (
        &["MON_DISK_BIG"],
        "a mon's store shrinks once all PGs are active+clean; if they are, `cephdock ceph -- tell mon.NAME compact`",
    ),
    (&["MGR_DOWN"], "`cephdock up` starts the mgrs; until one runs, figures and PG states are old"),
    (
        &["MGR_MODULE_DEPENDENCY", "MGR_MODULE_ERROR"],
        "`cephdock ceph -- health detail` names the module; one that nobody needs goes with `cephdock ceph -- mgr module disable MODULE`",
    ),
    (
        &["OSD_DOWN"],
        "`cephdock up` starts an OSD that does not run; after 10 minutes its data is copied to others, if another host has room for it",
    ),
    (
        &["OSD_HOST_DOWN", "OSD_ROOT_DOWN"],
        "is the node switched on, and does it reach the others? `cephdock check` looks at both",
    ),
    (
        &["OSD_FULL", "POOL_FULL"],
        "writes are stopped: remove volumes or snapshots that nobody needs, or add OSDs to the inventory and run `cephdock up`",
    ),
    (
        &[
            "OSD_BACKFILLFULL",
            "OSD_NEARFULL",
            "POOL_NEAR_FULL",
            "POOL_BACKFILLFULL",
            "PG_BACKFILL_FULL",
            "PG_RECOVERY_FULL",
        ],
        "add OSDs to the inventory and run `cephdock up`, or remove volumes: writes stop when an OSD is 95 % full",
    ),
    (
        &["OSDMAP_FLAGS"],
        "somebody has set a flag such as noout; `cephdock ceph -- osd unset FLAG` when their work is done",
    ),
    (
        &["OSD_FLAGS"],
        "somebody has set a flag such as noout on OSDs or hosts, which `cephdock ceph -- health detail` names; `cephdock ceph -- osd unset-group FLAGS WHO` when their work is done",
    ),
    (
        &["OSD_OUT_OF_ORDER_FULL"],
        "`cephdock ceph -- osd set-nearfull-ratio 0.85` and its like put them in order: nearfull < backfillfull < full",
    ),
    (
        &["POOL_NO_REDUNDANCY"],
        "what is on a lost disk is lost: with OSDs on more hosts, set `cluster.pool.size` in the inventory and run `cephdock up`",
    ),
    (
        &["POOL_APP_NOT_ENABLED"],
        "`cephdock ceph -- osd pool application enable POOL rbd`, or whatever the pool is for",
    ),
    (
        &["POOL_TOO_MANY_PGS", "POOL_TOO_FEW_PGS", "TOO_FEW_PGS", "TOO_MANY_PGS"],
        "`cephdock ceph -- osd pool set POOL pg_autoscale_mode on` lets Ceph choose",
    ),
    (
        &["TOO_FEW_OSDS"],
        "a pool wants more copies than there are OSDs: add OSDs to the inventory and run `cephdock up`",
    ),
    (
        &["PG_AVAILABILITY"],
        "reads and writes of a part of the data wait until OSDs that are down are back",
    ),
    (
        &["PG_DEGRADED"],
        "copies are missing: Ceph makes them anew while enough OSDs are up (`cephdock status --watch`)",
    ),
    (&["OBJECT_MISPLACED"], "data is being moved to where it belongs; there is nothing to do"),
    (
        &["OBJECT_UNFOUND"],
        "an OSD that is down holds the only copy: bring back every OSD before anything else is tried",
    ),
    (
        &["PG_DAMAGED", "OSD_SCRUB_ERRORS"],
        "look at the disks of the PG that `cephdock ceph -- health detail` names (`smartctl -a`); if it is inconsistent, then `cephdock ceph -- pg repair PG`",
    ),
    (
        &["OSD_TOO_MANY_REPAIRS", "DEVICE_HEALTH", "DEVICE_HEALTH_IN_USE"],
        "the disk is failing: look at it with `smartctl -a`, and replace it while the other copies are there",
    ),
    (
        &["PG_NOT_SCRUBBED", "PG_NOT_DEEP_SCRUBBED"],
        "Ceph catches up by itself once the OSDs have time for it",
    ),
    (
        &["SLOW_OPS", "BLUESTORE_SLOW_OP_ALERT"],
        "a disk or the network is slow: `cephdock ceph -- health detail` names the OSDs; look at their disks with `iostat -x 5` and `smartctl -a`",
    ),
    (
        &["BLOCK_DEVICE_STALLED_READ_ALERT"],
        "the disk answers too late: look at it with `smartctl -a` and `dmesg`",
    ),
    (
        &["OSD_SLOW_PING_TIME_BACK", "OSD_SLOW_PING_TIME_FRONT"],
        "the network between the OSDs is slow or loses packets; `cephdock check` looks at the MTU, `ip -s link` at errors",
    ),
    (
        &["RECENT_CRASH", "RECENT_MGR_MODULE_CRASH"],
        "`cephdock ceph -- crash ls` and `crash info ID` tell of it; `cephdock ceph -- crash archive-all` when it has been seen",
    ),
    (&["DAEMON_OLD_VERSION"], "`cephdock up` brings every daemon to the inventory's image"),
    (
        &["AUTH_INSECURE_GLOBAL_ID_RECLAIM"],
        "some client is older than April 2021: update what `cephdock ceph -- health detail` names",
    ),
    (
        &["AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED"],
        "`cephdock ceph -- config set mon auth_allow_insecure_global_id_reclaim false` once no client is older than April 2021",
    ),
    (
        &[
            "AUTH_INSECURE_CLIENT_KEY_TYPE",
            "AUTH_INSECURE_KEYS_ALLOWED",
            "AUTH_INSECURE_KEYS_CREATABLE",
        ],
        "clients keep a type of key that kernels before 7.0 and older tools read; `cephdock up` mutes this",
    ),
    (
        &["AUTH_BAD_CAPS"],
        "`cephdock ceph -- health detail` names the key; `cephdock ceph -- auth caps` sets what it may do",
    ),
];
