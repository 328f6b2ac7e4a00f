//! `cephdock demo` on a node of the lab, by that node's own Docker. In a lab of its own.

mod lab_support;

use std::path::Path;

use lab_support::own::Own;
use lab_support::{Run, Running};
use serde_json::Value;

const NODE: &str = "X1";
const IMAGE: &str = "registry.lab:5000/ceph/ceph:v18";

struct Demo(Own);

impl Demo {
    fn run(&self, args: &str) -> Run {
        self.0.run(&["ssh", NODE, &format!("/root/cephdock {args}")])
    }

    /// Run to its end, which has to be a good one.
    fn up(&self, args: &str) -> String {
        let said = self.run(&format!("demo --image {IMAGE} {args}"));
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    }

    fn sh(&self, command: &str) -> String {
        self.0.sh(NODE, command).trim().to_owned()
    }

    /// Every container, volume and network there is, and what lies in places that the demo has no business in.
    fn left(&self) -> String {
        self.sh("docker ps -aq; docker volume ls -q; docker network ls -q; find /etc /root /var/lib/ceph -newer /root/mark 2>/dev/null | grep -v -e /etc/resolv.conf || true")
    }
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_cluster_in_one_container_comes_and_goes() {
    let lab = Own::boot_bare("labdemo", &["X1/nspawn=10.32.3.51"]);
    lab.send(NODE, Path::new(env!("CARGO_BIN_EXE_cephdock")), "/root/cephdock");
    let demo = Demo(lab);
    demo.sh("touch -d 'next second' /root/mark; sleep 2");
    let before = demo.left();

    // nothing there
    let nothing = demo.run("demo --down");
    assert!(nothing.code == 0 && nothing.out.contains("Nothing to remove"), "{nothing:?}");

    // it pulls the image, makes all of it, and says how to use it
    let said = demo.up("");
    for part in ["HEALTH_OK", "docker exec cephdock-demo ceph -s", "2 GiB of memory", "demo --down"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let health = "docker exec cephdock-demo ceph health";
    assert_eq!(demo.sh(health), "HEALTH_OK");
    demo.sh("docker exec cephdock-demo rbd create --size 64M can_you_see_me");
    assert_eq!(demo.sh("docker exec cephdock-demo rbd ls"), "can_you_see_me");

    // bounded, without a network, and nothing outside its volume
    let inspect = "docker inspect cephdock-demo -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NetworkMode}} {{.HostConfig.Privileged}} {{len .Mounts}}'";
    assert_eq!(demo.sh(inspect), "2147483648 2147483648 none false 1");
    let limit = "docker exec cephdock-demo sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || :'";
    assert_eq!(demo.sh(limit), "2147483648", "the kernel knows the limit");
    let target = "docker exec cephdock-demo ceph config show osd.0 osd_memory_target";
    assert_eq!(demo.sh(target), "939524096");
    let written = "find /etc /var/lib/ceph -newer /root/mark 2>/dev/null | grep -v -e /etc/resolv.conf || true";
    assert_eq!(demo.sh(written), "");

    // no key where others look
    let keys = "docker exec cephdock-demo sh -c 'grep -h \"key = \" /var/lib/ceph/demo/*' | sort -u | awk '{print $3}'";
    let keys = demo.sh(keys);
    assert!(keys.lines().count() >= 4, "{keys}");
    let public = demo.sh("docker inspect cephdock-demo; docker volume inspect cephdock-demo; docker logs cephdock-demo 2>&1; ps axeww");
    assert!(keys.lines().all(|key| !public.contains(key)), "a key is in the open");

    // again: nothing
    let started = "docker inspect -f '{{.Id}} {{.State.StartedAt}}' cephdock-demo";
    let was = demo.sh(started);
    assert!(demo.up("").contains("Nothing to do"));
    assert_eq!(demo.sh(started), was);
    let other = demo.run("demo --image ceph/other:v1");
    assert!(other.code == 1 && other.all().contains("was made with the image"), "{other:?}");

    // stopped, and its container gone: the volume is what counts
    demo.sh("docker stop cephdock-demo");
    demo.up("");
    assert_eq!(demo.sh("docker exec cephdock-demo rbd ls"), "can_you_see_me");
    demo.sh("docker rm -f cephdock-demo");
    let events = demo.up("--json");
    let last: Value = serde_json::from_str(events.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["event"], &last["health"]), (&"summary".into(), &"HEALTH_OK".into()));
    assert_eq!(demo.sh("docker exec cephdock-demo rbd ls"), "can_you_see_me");

    // one of its daemons falls over
    demo.sh("docker exec cephdock-demo sh -c 'kill -9 $(grep -l ceph-osd /proc/[0-9]*/comm | cut -d/ -f3)'");
    demo.up("");

    // all gone, twice
    for _ in 0..2 {
        let down = demo.run("demo --down");
        assert!(down.code == 0, "{down:?}");
        assert_eq!(demo.left(), before);
    }

    // killed at its steps, and finished by the next run
    for step in ["step-started", "step-finished"] {
        let command = format!("/root/cephdock --json demo --image {IMAGE}");
        let mut running = Running::start(&mut demo.0.command(&["ssh", NODE, &command]));
        running.wait_for("the container", 300, |event| {
            event["event"] == step && event["what"] == "start the container cephdock-demo"
        });
        demo.sh("pkill -9 -x cephdock");
        drop(running);
        demo.up("");
        assert_eq!(demo.sh(health), "HEALTH_OK");
        demo.run("demo --down").ok();
        assert_eq!(demo.left(), before);
    }

    // what is not the demo's
    for (make, remove) in [
        (format!("docker create --name cephdock-demo {IMAGE}"), "docker rm cephdock-demo"),
        ("docker volume create cephdock-demo".into(), "docker volume rm cephdock-demo"),
    ] {
        demo.sh(&make);
        let there = demo.left();
        for args in ["demo", "demo --down"] {
            let refused = demo.run(args);
            assert_eq!(refused.code, 3, "{refused:?}");
            assert!(refused.err.contains("did not make"), "{refused:?}");
        }
        assert_eq!(demo.left(), there);
        demo.sh(remove);
    }
    let elsewhere = demo.0.run(&["ssh", NODE, "DOCKER_HOST=tcp://1.2.3.4:1 /root/cephdock demo"]);
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
}
