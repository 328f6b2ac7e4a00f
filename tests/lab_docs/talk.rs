//! `logs` and `ceph` on the cluster that the README has made, as people use them: through pipes, cut off, mistyped.

use std::fs;

use super::Typist;
use super::lab_support::{Run, until};

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
    let first = read_in_part(typist, "cephdock logs B1 mon --follow", 1);
    assert_eq!(first.out.lines().count(), 1);
    let interrupted = "cephdock logs B1 mon --follow -n 1 >said & \
                       until [ -s said ]; do sleep 0.2; done; kill -INT $!; wait $!";
    typist.types(interrupted).exits(0);

    // a daemon that ends takes its log along
    let lab = &typist.lab;
    let said = typist.path("followed");
    std::thread::scope(|scope| {
        let follow = "cephdock logs B3 osd-2 --follow -n 1 >followed 2>&1";
        let followed = scope.spawn(|| typist.types(follow));
        until("the first line", 60, || {
            if fs::read_to_string(&said).is_ok_and(|s| !s.is_empty()) {
                Ok(())
            } else {
                Err("none".into())
            }
        });
        lab.sh("B3", "docker stop osd-2 && docker start osd-2");
        followed.join().expect("it ends").exits(4);
    });
    let followed = fs::read_to_string(&said).expect("what it said");
    for part in ["osd.2 has ended", "received  signal"] {
        assert!(followed.contains(part), "{followed}");
    }
    typist.types("cephdock up").exits(0);

    // a node whose sshd does not answer
    let a_while = "systemctl stop ssh.socket ssh; sleep 10; systemctl start ssh";
    lab.sh("B2", &format!("nohup sh -c '{a_while}' >/dev/null 2>&1 </dev/null &"));
    until("sshd to be gone", 30, || {
        let run = typist.types("cephdock logs B2 mon -n 1");
        if run.code == 1 { Ok(run) } else { Err(run.all()) }
    })
    .says(&["B2: cannot connect", "hint"]);
    until("sshd to be there again", 60, || {
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
    read_in_part(typist, "cephdock ceph -- -w", 2).says(&["cluster:"]);
    let killed = "cephdock ceph -- -w >watched & until grep -q cluster: watched; do sleep 0.2; done; kill -KILL $!";
    typist.types(killed).exits(0);
    until("what was run in the mon's container to end", 20, || {
        let left = typist.lab.sh("B1", LEFT);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    read_in_part(typist, "cephdock status --watch 60", 3).says(&["HEALTH_OK"]);
}

/// A command of whose output somebody reads the first lines only. It ends by itself then.
fn read_in_part(typist: &Typist, command: &str, lines: usize) -> Run {
    let piped = format!("{{ timeout 60 {command}; echo $? >code; }} | head -n {lines}");
    let run = typist.types(&piped).exits(0);
    let code = fs::read_to_string(typist.path("code")).expect("its exit code");
    assert_eq!(code.trim(), "0", "{command}: {}", run.all());
    run
}
