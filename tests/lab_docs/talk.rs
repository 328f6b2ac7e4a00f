//! `logs` and `ceph` on the cluster that the README has made, as people use them: through pipes, cut off, mistyped.

use super::Typist;
use super::lab_support::until;

/// Programs that an earlier command has left running in a container.
const LEFT: &str = "pgrep -af 'ceph --connect-[t]imeout' || true";

pub(crate) fn logs_and_ceph(typist: &Typist) {
    let begun = std::time::Instant::now();
    logs(typist);
    ceph(typist);
    println!("logs and ceph took {:.0} s", begun.elapsed().as_secs_f64());
}

fn logs(typist: &Typist) {
    let three = typist.types("cephdock logs B1 mon -n 3").exits(0);
    assert_eq!((three.out.lines().count(), three.err.as_str()), (3, ""), "{}", three.all());
    let json = typist.types("cephdock --json logs B3 osd.2 -n 5").exits(0);
    for line in json.events() {
        assert_eq!((&line["node"], &line["daemon"]), (&"B3".into(), &"osd.2".into()));
        assert!(line["stream"] == "stderr" && line["line"].is_string(), "{line}");
    }
    assert_eq!(json.events().len(), 5);
    typist.types("cephdock logs B1 osd-7").exits(1).says(&["no daemon osd.7", "mgr, mon, osd-0"]);

    // whoever has read enough ends it, and so does Ctrl-C
    let first = typist.types("timeout 20 cephdock logs B1 mon --follow | head -n 1").exits(0);
    assert_eq!(first.out.lines().count(), 1);
    typist.types("timeout -s INT 2 cephdock logs B1 mgr --follow -n 0; [ $? = 124 ]").exits(0);

    // a daemon that ends takes its log along
    let lab = &typist.lab;
    let stop = "(sleep 2; docker stop osd-2; docker start osd-2) >/dev/null 2>&1 &";
    lab.sh("B3", stop);
    typist
        .types("cephdock logs B3 osd-2 --follow -n 1")
        .exits(4)
        .says(&["osd.2 has ended", "received  signal"]);
    typist.types("cephdock up").exits(0);

    // a node whose sshd does not answer
    let a_while = "systemctl stop ssh.socket ssh; sleep 3; systemctl start ssh";
    lab.sh("B2", &format!("nohup sh -c '{a_while}' >/dev/null 2>&1 </dev/null &"));
    until("sshd to be gone", 5, || {
        let run = typist.types("cephdock logs B2 mon -n 1");
        if run.code == 1 { Ok(run) } else { Err(run.all()) }
    })
    .says(&["B2: cannot connect", "hint"]);
    until("sshd to be there again", 20, || {
        let run = typist.types("cephdock logs B2 mon -n 1");
        if run.code == 0 { Ok(()) } else { Err(run.all()) }
    });
}

fn ceph(typist: &Typist) {
    typist.types("cephdock ceph -- health").exits(0).says(&["HEALTH_OK"]);
    let json = typist.types("cephdock --json ceph -- health").exits(0).json();
    assert_eq!(json["status"], "HEALTH_OK");
    typist.types("cephdock ceph -- no such command").exits(1).says(&["EINVAL"]);

    // bytes go out and in as they are
    let there = "cephdock ceph -- osd getcrushmap -o - 2>/dev/null >map && cephdock ceph -- osd setcrushmap -i - <map && \
                 cephdock ceph -- osd getcrushmap -o - 2>/dev/null | cmp - map";
    typist.types(there).exits(0);
    typist.types("cephdock ceph -- osd setcrushmap -i - </dev/null").exits(1);

    // nothing stays in the container: not of one that is read no more, nor of one that is killed
    typist.types("timeout 20 cephdock ceph -- -w | head -n 2").exits(0).says(&["cluster:"]);
    typist.types("timeout -s KILL 3 cephdock ceph -- -w").says(&["cluster:"]);
    until("what was run in the mon's container to end", 20, || {
        let left = typist.lab.sh("B1", LEFT);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    typist.types("timeout 20 cephdock status --watch 60 | head -n 3").exits(0).says(&["HEALTH_OK"]);
}
