//! More of what volumes do with the kernel's own rbd, on two nodes that have none in use.

use super::lab_support::Run;
use super::lab_support::own::Own;
use super::lab_support::volumes::released;

type Volume<'a> = &'a dyn Fn(&[&str]) -> Run;

const RUN: &str = "docker run --rm --net=host -v more:/data --volume-driver cephdock t";

/// XFS: made on one node, grown, read on the other.
pub(crate) fn xfs_too(lab: &Own, one: &str, other: &str, volume: Volume<'_>) {
    lab.sh(one, "docker volume create -d cephdock -o size=320MiB -o fstype=xfs more");
    lab.sh(one, &format!("{RUN} sh -c 'echo can_you_see_me >/data/f'"));
    volume(&["grow", "more", "400MiB"]).ok().says(&["when it is mounted next"]);
    let seen = lab.sh(other, &format!("{RUN} sh -c 'cat /data/f; df -kT /data'"));
    assert!(seen.starts_with("can_you_see_me\n"), "{seen}");
    let words: Vec<&str> = seen.lines().last().expect("a line").split_whitespace().collect();
    assert_eq!(words[1], "xfs", "{seen}");
    let mib = words[2].parse::<u64>().expect("a number") / 1024;
    assert!(mib > 300, "{mib} MiB: it grew when it was mounted"); // less than 260 before
    volume(&["rm", "more", "--yes"]).ok();
}

/// Without the driver's key: said by whom Docker asked, and all is well when it is back.
pub(crate) fn a_key_that_is_missing(lab: &Own, node: &str) {
    let key = "/etc/ceph/ceph.client.cephdock.keyring";
    lab.sh(node, &format!("docker volume create -d cephdock -o size=64MiB more; mv {key} /t/key"));
    let says = [format!("key is missing on node {node}"), "run `cephdock up`".into()];
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    lab.ssh(node, &format!("{RUN} ls /data")).exits(125).says(&says);
    lab.ssh(node, "docker volume create -d cephdock new").exits(1).says(&says);
    lab.sh(node, &format!("mv /t/key {key}; {RUN} ls /data; docker volume rm more"));
    released(lab, node, "/sys");
}
