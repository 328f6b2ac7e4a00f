//! Images without a public registry, on real nodes that have none: a registry that wants a login, and an archive that is
//! streamed to them. In a lab of its own.

mod lab_support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab_support::Run;
use lab_support::own::{Own, built};
use serde_json::Value;

const NODES: [&str; 2] = ["I1", "I2"];
const SPECS: [&str; 2] = ["I1/nspawn=10.32.3.41", "I2/nspawn=10.32.3.42"];
/// Beside the lab's own, which lets everybody in.
const REGISTRY: &str = "10.32.3.1:5001";
/// With characters that the two alphabets of base64 write differently.
const PASSWORD: &str = "opens?~>sesame";
/// What htpasswd makes of it with bcrypt.
const HTPASSWD: &str = "ceph:$2y$05$abcdefghijklmnopqrstuu./JOYpkJq7HXYtaQp4zvmQs.UG74w9a\n";

/// A registry with the lab's images that asks for a login.
struct Registry(Child);

impl Registry {
    fn start(lab: &Own) -> Self {
        let storage = built().join("registry");
        Self::serve(lab, REGISTRY, &storage)
    }

    /// At this address, with what lies in this folder.
    fn serve(lab: &Own, address: &str, storage: &Path) -> Self {
        let htpasswd = lab.write("htpasswd", HTPASSWD);
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n\
             auth: {{htpasswd: {{realm: lab, path: {}}}}}\n",
            storage.display(),
            htpasswd.display(),
        );
        let config = lab.write(&format!("registry-{address}.yml"), &config);
        let serve = ["run", "timeout", "900", "docker-registry", "serve"];
        let mut command = lab.command(&serve);
        command.arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(command.spawn().expect("it starts"));
        let begun = Instant::now();
        let probe = format!("</dev/tcp/{}", address.replace(':', "/"));
        while lab.run(&["run", "bash", "-c", &probe]).code != 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the registry does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // timeout passes it on
        let pid = self.0.id().to_string();
        drop(Command::new("kill").arg(pid).status());
        drop(self.0.wait());
    }
}

/// An inventory: two nodes that make a cluster between them.
fn inventory(lab: &Own, cluster: &str) -> std::path::PathBuf {
    let nodes = "  - {name: I1, address: 10.32.3.41, roles: [mon, mgr, osd], osds: [{file: 3GiB}]}\n  \
         - {name: I2, address: 10.32.3.42, roles: [osd], osds: [{file: 3GiB}]}\n";
    // nspawn nodes have no rbd in their kernel
    let volumes = if cluster.contains("volumes:") { "" } else { "volumes: {driver: none}\n" };
    // nspawn nodes have this machine's disk, which may be fuller than a mon likes
    let text = format!(
        "cluster:\n  public_network: 10.32.3.0/24\n  config: {{global: {{mgr_initial_modules: iostat nfs}}, mon: \
         {{mon_data_avail_warn: 1, mon_data_avail_crit: 1}}}}\n{cluster}{}\nclient: {{packages: off}}\n{volumes}nodes:\n{nodes}",
        lab.login()
    );
    lab.write("inventory.yaml", &text)
}

fn plans(said: &Run) -> Vec<(String, String)> {
    let plan: Value = serde_json::from_str(&said.out).expect("JSON");
    let steps = plan["stages"].as_array().expect("stages").iter();
    let steps = steps.flat_map(|s| s["steps"].as_array().expect("steps"));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let fetch = steps.filter(|s| {
        let what = text(&s["what"]);
        what.starts_with("pull ") || what.starts_with("load ")
    });
    fetch.map(|s| (text(&s["node"]), text(&s["what"]))).collect()
}

fn images(lab: &Own, node: &str) -> String {
    lab.sh(node, "docker images -q --no-trunc | sort -u")
}

/// What no file, process, container or word of a node may hold.
fn assert_secret(lab: &Own, node: &str) {
    // the first letter in brackets: the pattern must not find itself
    let find = r"set -e; pattern='[o]pens?~>sesame'
        if ls /root/.docker /home/ops/.docker 2>/dev/null; then echo 'a docker config'; fi
        grep -rIlF 'opens?~>sesam'e /root /etc /home /tmp /var/tmp /var/lib/ceph /var/log 2>/dev/null || true
        docker ps -aq | xargs -r docker inspect | grep -n -- $pattern || true
        docker image inspect $(docker images -q) | grep -n -- $pattern || true
        journalctl --no-pager -q | grep -n -- $pattern || true";
    let found = lab.sh(node, find);
    assert_eq!(found.trim(), "", "on {node}");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_registry_that_wants_a_login() {
    let lab = Own::boot_bare("labimages", &SPECS);
    let _registry = Registry::start(&lab);
    let image = format!("{REGISTRY}/ceph/ceph:v18");
    let login = |file: &str| {
        format!(
            "  image: {image}\n  registry: {{server: \"{REGISTRY}\", username: ceph, password_file: {file}}}\n"
        )
    };

    // no login: what the registry wants is said
    let none = lab.cephdock(&inventory(&lab, &format!("  image: {image}\n")), &["up"]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(
        none.all().contains("wants a login") && none.all().contains("password_file"),
        "{none:?}"
    );
    lab.cephdock(&inventory(&lab, &format!("  image: {image}\n")), &["check"]).exits(1).says(&[
        "its Docker cannot get",
        &image,
        "basic auth",
        "`cluster.registry`",
    ]);

    // no password: nothing is contacted
    let missing = lab.cephdock(&inventory(&lab, &login("./nowhere")), &["up"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.all().contains("there is no file"), "{missing:?}");

    // a wrong one: whose it is, and where it was read
    lab.write("wrong", "open barley\n");
    let wrong = lab.cephdock(&inventory(&lab, &login("./wrong")), &["-vv", "up"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    for part in ["does not take the login ceph", "/wrong", "cluster.registry.username"] {
        assert!(wrong.all().contains(part), "{part}: {wrong:?}");
    }
    assert!(!wrong.all().contains("open barley"), "{wrong:?}");
    assert_eq!(images(&lab, "I1"), "");

    // the right one
    lab.write("right", &format!("{PASSWORD}\n"));
    let right = inventory(&lab, &login("./right"));
    let plan = lab.cephdock(&right, &["--json", "plan"]);
    assert_eq!(
        plans(&plan),
        [("I1", "pull"), ("I2", "pull")].map(|(n, w)| (n.to_owned(), format!("{w} {image}")))
    );
    assert_eq!(images(&lab, "I1"), "", "a plan pulls nothing");
    let up = lab.cephdock(&right, &["-vv", "--json", "up"]);
    assert_eq!(up.code, 0, "{up:?}");
    let status = lab.cephdock(&right, &["--json", "status"]);
    assert_eq!(status.code, 0, "{status:?}");
    for said in [&plan, &up, &status] {
        assert!(!said.all().contains(PASSWORD), "{said:?}");
    }
    for node in NODES {
        assert_secret(&lab, node);
    }

    // when all nodes have it, a lost password is in nobody's way but that of `up`
    fs::remove_file(lab.dir().join("right")).expect("it was there");
    let check = lab.cephdock(&right, &["plan"]);
    assert!(check.code == 0 && !check.out.contains("pull"), "{check:?}");
    assert!(check.err.contains("warning") && check.err.contains("there is no file"), "{check:?}");

    a_plugin_from_a_private_registry(&lab, &image);
}

/// A volume plugin, made here: it has a setting, wants a capability, and answers whatever it is asked.
const MAKE_PLUGIN: &str = r#"set -e
rm -rf /tmp/vol; mkdir -p /tmp/vol/rootfs/run/docker/plugins /tmp/vol/rootfs/mnt/state; cd /tmp/vol
cat >config.json <<'END'
{"description": "made for a test", "documentation": "", "entrypoint": ["/usr/bin/perl", "/vol.pl"], "workdir": "/",
 "interface": {"types": ["docker.volumedriver/1.0"], "socket": "vol.sock"}, "network": {"type": "host"},
 "linux": {"capabilities": ["CAP_SYS_ADMIN"], "allowAllDevices": false, "devices": null},
 "mounts": null, "propagatedMount": "/mnt/state", "env": [{"name": "LEVEL", "value": "1", "settable": ["value"]}]}
END
cat >rootfs/vol.pl <<'END'
use IO::Socket::UNIX;
my $s = IO::Socket::UNIX->new(Local => "/run/docker/plugins/vol.sock", Listen => 9) or die;
while (my $c = $s->accept) {
  my $q = ""; while (sysread $c, my $more, 4096) { $q .= $more; last if $q =~ /\r\n\r\n/ }
  my $a = '{"Implements": ["VolumeDriver"], "Volumes": [], "Capabilities": {"Scope": "local"}, "Err": ""}';
  print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", length $a, "\r\n\r\n$a"; close $c;
}
END
cp --parents -rL /usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*') /usr/lib/x86_64-linux-gnu/perl-base rootfs
docker plugin create REF /tmp/vol >/dev/null
echo PASSWORD | docker login -u ceph --password-stdin REGISTRY >/dev/null 2>&1
docker plugin push REF >/dev/null; docker plugin rm REF >/dev/null; docker logout REGISTRY >/dev/null; rm -rf /root/.docker"#;

/// In a registry with a login of its own and a storage that is gone afterwards. Mirrored within it, installed on both
/// nodes under the name that the inventory gives it, set, set otherwise, and taken away by reset.
fn a_plugin_from_a_private_registry(lab: &Own, image: &str) {
    const PRIVATE: &str = "10.32.3.1:5002";
    let storage = lab.dir().join("plugins");
    drop(fs::remove_dir_all(&storage));
    let _registry = Registry::serve(lab, PRIVATE, &storage);
    let made = format!("{PRIVATE}/made/vol:1");
    let names = [("REF", made.as_str()), ("REGISTRY", PRIVATE), ("PASSWORD", &shell(PASSWORD))];
    let script =
        names.iter().fold(MAKE_PLUGIN.to_owned(), |text, (from, to)| text.replace(from, to));
    lab.sh("I1", &script);

    lab.write("right", &format!("{PASSWORD}\n"));
    let with = |level: &str| {
        let volumes = format!(
            "volumes: {{driver: \"made/vol:1\", alias: \"{PRIVATE}/copies/made/vol:1\", settings: {{LEVEL: \"{level}\"}}}}"
        );
        let login =
            format!("registry: {{server: \"{PRIVATE}\", username: ceph, password_file: ./right}}");
        inventory(lab, &format!("  image: {image}\n  {login}\n{volumes}\n"))
    };
    let inventory = with("2");
    let lacking = lab.cephdock(&inventory, &["up"]);
    assert_eq!(lacking.code, 1, "not mirrored yet: {lacking:?}");
    assert!(lacking.all().contains("plugin mirror"), "{lacking:?}");

    let copies = format!("{PRIVATE}/copies");
    let mirror = lab.cephdock(&inventory, &["plugin", "mirror", &made, &copies]);
    assert!(
        mirror.code == 0 && mirror.out.contains(&format!("alias: {copies}/made/vol:1")),
        "{mirror:?}"
    );
    assert_eq!(lab.sh("I1", "docker plugin ls -q"), "", "nothing of it stays on the node");

    let up = lab.cephdock(&inventory, &["-vv", "--json", "up"]);
    assert!(up.code == 0 && !up.all().contains(PASSWORD), "{up:?}");
    let seen = |node: &str| {
        let format = "{{.Name}} {{.Enabled}} {{.Settings.Env}}";
        lab.sh(node, &format!("docker plugin inspect -f '{format}' made/vol:1"))
    };
    for node in NODES {
        assert_eq!(seen(node), "made/vol:1 true [LEVEL=2]\n");
        assert_secret(lab, node);
    }
    let again = lab.cephdock(&inventory, &["plan", "--check"]);
    assert_eq!(again.code, 0, "{again:?}");

    // another value; and one of the two that somebody has disabled
    lab.sh("I2", "docker plugin disable made/vol:1");
    let inventory = with("3");
    let plan = lab.cephdock(&inventory, &["plan"]);
    assert_eq!(plan.out.matches("disable the plugin").count(), 1, "{plan:?}");
    lab.cephdock(&inventory, &["up"]).ok();
    for node in NODES {
        assert_eq!(seen(node), "made/vol:1 true [LEVEL=3]\n");
    }

    let fsid = lab.sh("I1", "docker exec mon ceph fsid");
    let reset = lab.cephdock(&inventory, &["reset", "--yes", "--fsid", fsid.trim()]);
    assert!(reset.code == 0, "{reset:?}");
    for node in NODES {
        let left = "docker plugin ls -q; ls -d /var/lib/cephdock 2>/dev/null || true";
        assert_eq!(lab.sh(node, left), "", "on {node}");
    }
}

/// Quoted for a shell.
fn shell(text: &str) -> String {
    format!("'{text}'")
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_archive_is_streamed_to_the_nodes_that_lack_it() {
    let lab = Own::boot_bare("labimages", &SPECS);
    let tar = built().join("ceph.tar");
    let bytes = fs::metadata(&tar).expect("the lab has built it").len();
    let archive = |image: &str| format!("  image: {image}\n  image_archive: {}\n", tar.display());

    // another tag than the archive's
    let other = lab.cephdock(&inventory(&lab, &archive("ceph/ceph:v19")), &["plan"]);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.all().contains("it holds ceph/ceph:v18"), "{other:?}");

    let inventory = inventory(&lab, &archive("ceph/ceph:v18"));
    let plan = lab.cephdock(&inventory, &["--json", "plan"]);
    let load = format!("load ceph/ceph:v18 from {}", tar.display());
    assert_eq!(plans(&plan), [("I1".to_owned(), load.clone()), ("I2".to_owned(), load.clone())]);
    assert_eq!(images(&lab, "I1"), "", "a plan loads nothing");

    // killed while it is sent: nothing of it is there
    let mut killed = lab.start_cephdock(&inventory, &["--json", "up"]);
    killed.wait_for("half of it sent", 300, |event| {
        event["event"] == "step-progress" && event["done"].as_u64() > Some(bytes / 2)
    });
    drop(killed);
    assert_eq!(images(&lab, "I1"), "");

    // all nodes at once, with bytes, and little memory
    let (run, kib) = lab.cephdock_measured(&inventory, &["--json", "up"]);
    assert_eq!(run.code, 0, "{run:?}");
    let events: Vec<Value> =
        run.out.lines().map(|l| serde_json::from_str(l).expect("an event")).collect();
    let sending = |node: &str| -> Vec<u64> {
        let of = events.iter().filter(|e| e["node"] == node && e["message"] == "sending");
        of.filter(|e| e["unit"] == "bytes" && e["total"] == bytes)
            .filter_map(|e| e["done"].as_u64())
            .collect()
    };
    for node in NODES {
        let done = sending(node);
        assert!(
            done.len() > 20 && done.is_sorted() && done.last() == Some(&bytes),
            "{node}: {done:?}"
        );
    }
    let finished = |node: &str| {
        events
            .iter()
            .position(|e| e["event"] == "step-finished" && e["node"] == node && e["what"] == load)
    };
    let started = |node: &str| {
        events
            .iter()
            .position(|e| e["event"] == "step-started" && e["node"] == node && e["what"] == load)
    };
    assert!(
        started("I2") < finished("I1") && started("I1") < finished("I2"),
        "one after the other"
    );
    assert!(kib < 100 << 10, "{kib} KiB");
    assert_eq!(images(&lab, "I1"), images(&lab, "I2"));

    // nothing to do, and then only for the node that lacks it
    let plan = lab.cephdock(&inventory, &["--json", "plan"]);
    assert_eq!(plans(&plan), []);
    lab.sh("I2", "docker rm -f osd-1 >/dev/null; docker rmi -f ceph/ceph:v18 >/dev/null");
    let plan = lab.cephdock(&inventory, &["--json", "plan"]);
    assert_eq!(plans(&plan), [("I2".to_owned(), load.clone())]);
    // an image of the same name that is another one is replaced by the archive's
    lab.sh("I1", "echo x >/tmp/x && tar -C /tmp -c x | docker import - ceph/ceph:v18 >/dev/null");
    let plan = lab.cephdock(&inventory, &["--json", "plan"]);
    assert!(plan.out.contains("and the archive's"), "{plan:?}");
    let run = lab.cephdock(&inventory, &["up"]);
    assert_eq!(run.code, 0, "{run:?}");
    let id = "docker image inspect -f '{{.Id}}' ceph/ceph:v18";
    assert_eq!(lab.sh("I1", id), lab.sh("I2", id));
    let plan = lab.cephdock(&inventory, &["--json", "plan"]);
    assert_eq!(plans(&plan), []);
}
