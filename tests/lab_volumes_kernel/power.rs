//! A writer that syncs every line, while Ceph is away, its node reboots, and the power of its node is cut: a line that
//! it has told of is there afterwards.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::lab_support::own::Own;
use crate::lab_support::until;
use crate::{MONS, docker_run};

/// Like a database: each entry is on the disk before anybody is told of it, and after a start it goes on where it was.
const WRITER: &str = "sh -c 'n=0; [ ! -f /data/lines ] || while read -r line; do n=$line; done </data/lines; \
    while :; do n=$((n+1)); echo $n >>/data/lines; sync; echo $n; sleep 0.1; done'";

/// What a writer tells of, line by line, until it or its node ends.
struct Told {
    child: Child,
    file: PathBuf,
}

impl Told {
    fn by(lab: &Own, node: &str, container: &str) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("told-{node}"));
        let out = fs::File::create(&file).expect("a file");
        let mut command = lab.command(&["ssh", node, &format!("docker logs -f -n 1 {container}")]);
        command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).process_group(0);
        Self { child: command.spawn().expect("ssh starts"), file }
    }

    /// The last number told.
    fn last(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.file).expect("the file");
        // what was cut off in the middle was not told
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().last().map(|line| line.parse().unwrap_or_else(|_| panic!("{text}")))
    }

    /// Waits for `more` than `than`.
    fn goes_on(&self, than: u64, more: u64) -> u64 {
        until("the writer to go on", 90, || match self.last() {
            Some(last) if last >= than + more => Ok(last),
            last => Err(format!("{last:?}")),
        })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process_group(group.expect("a process"), Signal::KILL).ok(); // it may have ended
        drop(self.child.wait());
    }
}

fn start(lab: &Own, node: &str) {
    lab.sh(node, &docker_run("-d --restart always --name writer", WRITER));
}

/// Every number from 1 on, the last one at least `told`.
fn all_there(lines: &str, told: u64) {
    let numbers: Vec<u64> = lines.lines().map(|l| l.parse().expect("a number")).collect();
    let last = u64::try_from(numbers.len()).expect("a few");
    assert!(last >= told, "{told} were told of, {last} are there");
    assert!(numbers.iter().copied().eq(1..=last), "{numbers:?}");
}

/// What Docker knows of the volume it knows meanwhile too, and the writer waits and goes on, in the same container.
pub(crate) fn ceph_is_away_for_two_minutes(lab: &Own) {
    start(lab, "W4");
    let told = Told::by(lab, "W4", "writer");
    let before = told.goes_on(0, 10);
    let runs = "docker inspect -f '{{.State.StartedAt}} {{.RestartCount}}' writer; findmnt -rno TARGET,ID | grep volumes/";
    let as_before = lab.sh("W4", runs);
    let everywhere = |command: &'static str| {
        std::thread::scope(|scope| {
            for node in MONS {
                scope.spawn(move || lab.sh(node, command));
            }
        });
    };
    everywhere(
        "docker stop -t 30 $(docker ps -q --filter name=osd- --filter name=mgr --filter name=mon) >/dev/null",
    );
    let gone = Instant::now();
    let stopped = told.last().expect("some");
    let again = docker_run("--rm", "sh -c 'echo runs'"); // what touches its files waits
    while gone.elapsed() < Duration::from_secs(120) {
        // another user of what is mounted here, and all that Docker asks for meanwhile
        let seen = lab.sh("W4", &format!("timeout -k 5 30 {again}; timeout -k 5 30 docker volume ls -q; timeout -k 5 30 docker volume inspect -f '{{{{.Status.node}}}}' data"));
        assert_eq!(seen, "runs\ndata\nW4\n");
        std::thread::sleep(Duration::from_secs(5));
    }
    let quiet = told.last().expect("some");
    assert!(quiet <= stopped + 1, "{quiet} after {stopped}: it wrote while Ceph was away");
    everywhere(
        "docker start $(docker ps -aq --filter name=mon) $(docker ps -aq --filter name=mgr --filter name=osd-) >/dev/null",
    );
    told.goes_on(quiet, 10);
    assert_eq!(lab.sh("W4", runs), as_before, "untouched since {before}");
}

/// The driver is there before dockerd starts the container again.
pub(crate) fn a_reboot_with_a_writer(lab: &Own) {
    let told = Told::by(lab, "W4", "writer");
    told.goes_on(0, 1);
    drop(lab.ssh("W4", "systemctl poweroff"));
    until("the node to have shut down", 120, || {
        let nodes = lab.lab(60, &["ls"]).ok().out;
        let off = nodes.lines().any(|l| l.starts_with("W4 ") && l.ends_with(" off"));
        if off { Ok(()) } else { Err(nodes) }
    });
    let last = told.last().expect("some");
    drop(told);
    lab.lab(300, &["start", "W4"]).ok();
    let (told, lines) = until("the container to be back with its volume", 120, || {
        let seen = lab.ssh("W4", "docker logs -n 1 writer && docker exec writer cat /data/lines");
        let told_and_lines = seen.out.split_once('\n');
        let told = told_and_lines.and_then(|(told, lines)| Some((told.parse().ok()?, lines)));
        match told.filter(|(told, _): &(u64, _)| *told > last) {
            Some((told, lines)) => Ok((told, lines.to_owned())),
            None => Err(seen.all()),
        }
    });
    all_there(&lines, told);
}

/// The node of the writer is dead from one moment to the next. One `docker run` on another node has to do; the dead node's
/// own container comes back with its volume, as soon as nobody else has it.
pub(crate) fn another_node_takes_over(lab: &Own, owner: &str, taker: &str) {
    if lab.ssh(owner, "docker inspect writer").code != 0 {
        start(lab, owner);
    }
    let writer = Told::by(lab, owner, "writer");
    writer.goes_on(0, 10);
    lab.lab(60, &["cut", owner]).ok();
    let told = writer.last().expect("some");
    let lines = lab.sh(taker, &docker_run("--rm", "cat /data/lines"));
    all_there(&lines, told);
    drop(writer);
    lab.lab(300, &["start", owner]).ok();
    let lines = until("the container to be back with its volume", 180, || {
        let seen = lab.ssh(owner, "docker exec writer cat /data/lines");
        let more = seen.code == 0 && seen.out.lines().count() > lines.lines().count();
        if more { Ok(seen.out) } else { Err(seen.all()) }
    });
    all_there(&lines, told);
}
