//! Ways into a node, and images, that are not the usual ones.

mod lab_support;

use lab_support::{Lab, lab};

/// How each node's Docker was reached in the last run.
fn ways(lab: &Lab, inventory: &std::path::Path) -> Vec<String> {
    let up = lab.cephdock(inventory, &["up", "--json"]).exits(0);
    let mut ways: Vec<String> = up
        .events_of("connected")
        .iter()
        .map(|e| {
            format!("{} {}", e["node"].as_str().unwrap_or("?"), e["docker"].as_str().unwrap_or("?"))
        })
        .collect();
    ways.sort();
    ways
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_user_with_sudo_and_the_docker_group() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[("user: root", "user: ops")]);
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(
        lab.sh("B2", "stat -c '%U %a' /etc/ceph/ceph.client.admin.keyring").trim(),
        "root 600"
    );
    lab.cephdock(&inventory, &["status"]).exits(0);

    // forwarding is off: the programs on the node have to do
    lab.sh("B1", "echo 'AllowStreamLocalForwarding no' >/etc/ssh/sshd_config.d/test.conf; systemctl restart ssh");
    lab.sh(
        "B2",
        "echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/test.conf; systemctl restart ssh",
    );
    let expected = ["B1 dial-stdio", "B2 dial-stdio", "B3 forwarded socket"];
    assert_eq!(ways(&lab, &inventory), expected);
    // neither forwarding nor the group docker
    lab.sh("B1", "gpasswd -d ops docker");
    let expected = ["B1 sudo dial-stdio", "B2 dial-stdio", "B3 forwarded socket"];
    let seen = ways(&lab, &inventory);
    lab.sh("B1", "gpasswd -a ops docker");
    assert_eq!(seen, expected);
    // and a daemon is put back that way
    lab.sh("B2", "docker rm -f mgr");
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_whole_bring_up_without_forwarding() {
    let lab = lab();
    lab.fresh();
    lab.everywhere("printf 'AllowStreamLocalForwarding no\\nAllowTcpForwarding no\\n' >/etc/ssh/sshd_config.d/test.conf; systemctl restart ssh");
    let inventory = lab.inventory(&[]);
    assert_eq!(ways(&lab, &inventory), ["B1 dial-stdio", "B2 dial-stdio", "B3 dial-stdio"]);
}

/// Runs a command on a terminal, and answers every question for a password with the first argument.
const TYPIST: &str = concat!(
    include_str!("terminal.py"),
    r#"
answered, end = [], time.monotonic() + 300
def answer(said, terminal):
    if said.lower().count(b"password") > len(answered) and said.rstrip(b"\x1b[?25hl").rstrip().endswith(b":"):
        # a person takes longer than it takes to turn the echo off
        while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < end:
            time.sleep(0.01)
        answered.append(True)
        os.write(terminal, sys.argv[1].encode() + b"\n")
said, code = typed(sys.argv[2:], 300, answer)
sys.stdout.write(said.decode(errors="replace"))
sys.exit(code)
"#
);

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_password_typed_on_a_terminal() {
    let lab = lab();
    lab.fresh();
    let password = "correct-horse";
    lab.everywhere(&format!("echo ops:{password} | chpasswd"));
    // one node takes passwords only the other way
    lab.sh("B2", "printf 'PasswordAuthentication no\nKbdInteractiveAuthentication yes\n' >/etc/ssh/sshd_config.d/test.conf; systemctl restart ssh");
    let inventory = lab.inventory(&[("user: root", "user: ops")]);
    let text = std::fs::read_to_string(&inventory).expect("the inventory");
    let keyless: Vec<&str> = text.lines().filter(|l| !l.contains("identity_file")).collect();
    assert_eq!(keyless.len() + 1, text.lines().count());
    std::fs::write(&inventory, keyless.join("\n") + "\n").expect("an inventory");
    let path = inventory.to_str().expect("text");
    let home = tempfile::tempdir().expect("a home without keys");
    let home = format!("HOME={}", home.path().display());
    let typed = |word: &str| {
        let cephdock = env!("CARGO_BIN_EXE_cephdock");
        let run =
            ["run", "env", &home, "python3", "-c", TYPIST, word, cephdock, "-i", path, "status"];
        lab.lab(400, &run)
    };
    // there is no cluster, so a look at three nodes that were reached ends with 4
    let seen = typed(password).exits(4);
    assert!(!seen.all().contains(password), "a password is not echoed: {}", seen.all());
    let reached = |seen: &lab_support::Run| {
        lab_support::NODES.map(|node| {
            let row = seen.out.lines().find(|l| l.trim_start().starts_with(node));
            let row = row.unwrap_or_else(|| panic!("no {node}: {}", seen.all()));
            !row.contains("unreachable")
        })
    };
    assert_eq!(reached(&seen), [true; 3], "{}", seen.all());
    let refused = typed("wrong").exits(4);
    assert_eq!(reached(&refused), [false; 3], "{}", refused.all());
}

/// Puts a second image into the lab's registry: the layers of `FROM`, and a configuration with an entrypoint, a
/// working directory and a user.
const OTHER_IMAGE: &str = r#"
import hashlib, json, sys, urllib.request as web
base = sys.argv[1]
def ask(path, data=None, method=None, kind=None):
    url = path if path.startswith("http") else base + path
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    request = web.Request(url, data, {"Accept": accept, **({"Content-Type": kind} if kind else {})}, method=method)
    answer = web.urlopen(request, timeout=60)
    return answer.headers, answer.read()
headers, text = ask("manifests/v18")
manifest = json.loads(text)
config = json.loads(ask("blobs/" + manifest["config"]["digest"])[1])
config["config"].update({"Entrypoint": ["/bin/false"], "Cmd": ["no"], "User": "nobody", "WorkingDir": "/nowhere"})
blob = json.dumps(config).encode()
digest = "sha256:" + hashlib.sha256(blob).hexdigest()
place = ask("blobs/uploads/", b"", "POST")[0]["Location"]
ask(place + ("&" if "?" in place else "?") + "digest=" + digest, blob, "PUT", "application/octet-stream")
manifest["config"].update({"digest": digest, "size": len(blob)})
ask("manifests/entrypoint", json.dumps(manifest).encode(), "PUT", headers["Content-Type"])
"#;

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_image_with_an_entrypoint_and_a_user() {
    let lab = lab();
    lab.fresh();
    let registry = lab.address("B1").replace(".147", ".1");
    let repository = format!("http://{registry}:5000/v2/ceph/ceph/");
    lab.lab(120, &["run", "python3", "-c", OTHER_IMAGE, &repository]).ok();
    let image = "registry.lab:5000/ceph/ceph:entrypoint";
    lab.everywhere(&format!("docker rmi -f {image} >/dev/null 2>&1 || true"));
    let inventory = lab.inventory(&[("registry.lab:5000/ceph/ceph:v18", image)]);
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0);
    assert_eq!(up.summary()["health"], "HEALTH_OK");
    let pulls =
        up.events_of("step-finished").into_iter().filter(|e| e["what"] == format!("pull {image}"));
    assert_eq!(pulls.count(), 3, "each node lacks the image at first");
    let entrypoint = lab.sh(
        "B1",
        &format!(
            "docker image inspect -f '{{{{.Config.Entrypoint}}}} {{{{.Config.User}}}}' {image}"
        ),
    );
    assert_eq!(entrypoint.trim(), "[/bin/false] nobody", "the image is the odd one");
    assert_eq!(lab.sh("B1", "docker inspect -f '{{.Config.Image}}' mon").trim(), image);
}
