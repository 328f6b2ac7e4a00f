//! What lies in a node's users, programs and firewall, and in the inventory itself.

use super::lab_support::own::Own;
use super::{CLUSTER, ENTRIES, assert_fails, assert_found, assert_words, check, on_each, said_of};

/// What an inventory says by itself keeps `check` from contacting anybody.
pub(super) fn words_of_an_inventory(lab: &Own) {
    let copies = CLUSTER.replacen("  config:", "  pool: {size: 4}\n  config:", 1);
    let inventory = lab.inventory("copies.yaml", &copies, ENTRIES);
    lab.cephdock(&inventory, &["check"])
        .exits(2)
        .says(&["4 copies need as many nodes with OSDs, and 3 nodes have any"]);
    let twice = ENTRIES.replace("10.32.3.63", "10.32.3.62");
    let inventory = lab.inventory("twice.yaml", CLUSTER, &twice);
    lab.cephdock(&inventory, &["check"]).exits(2).says(&["10.32.3.62", "is already taken"]);
}

/// Programs that are missing or fail, and a packet filter that lets next to nothing in.
pub(super) fn what_cannot_be_looked_at(lab: &Own) {
    let program = |name: &str, script: &str| {
        format!(
            "printf '#!/bin/sh\n{script}\n' >/usr/local/bin/{name}; chmod 755 /usr/local/bin/{name}\n"
        )
    };
    // `firewall-cmd` is a Python program: firewalld runs, and nobody gets an answer
    let firewalld = "systemctl -q start firewalld; mv /usr/bin/python3 /root/\n";
    let slow = program("date", "sleep 0.4; exec /usr/bin/date \"$@\"");
    let filter = "nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; iif lo accept; \
         ct state established,related accept; tcp dport 22 accept; }; }'";
    // nothing to connect or to listen with, and a survey that ends half-way
    let bare =
        "usermod -s /bin/sh root; for p in bash python3 perl ping; do mv /usr/bin/$p /root/; done\n"
            .to_owned()
            + &program("date", "echo whenever") + &program("ss", "kill -9 $PPID");
    on_each(lab, &[("C1", &(firewalld.to_owned() + &slow)), ("C2", filter), ("C3", &bare)]);

    let entries = ENTRIES.replacen("{file: 2GiB}", "{device: /dev/nope}", 1)
        + "  - {name: C4, address: 10.32.3.64, roles: [mon], ssh: {host: 10.32.3.1, port: 2}}\n";
    let spoiled = lab.inventory("blind.yaml", CLUSTER, &entries);
    let said = check(lab, &spoiled, 1);
    assert_fails(&said, &["paths C1", "disks C1", "paths C2", "login C4"]);
    assert_found(
        &said,
        "unchecked",
        &[
            "clock C1", "mtu C2", "ports C3", "paths C3", "mtu C3", "clock C3", "image C3",
            "room C3", "ceph C4",
        ],
    );
    assert_words(
        &said,
        &[
            ("paths", "C1", &["firewalld runs and does not answer", "systemctl restart firewalld"]),
            ("disks", "C1", &["there is no /dev/nope"]),
            (
                "clock",
                "C1",
                &["ahead of the median", "too slow to measure", "no service that keeps"],
            ),
            ("paths", "C2", &["cannot connect to 3300, 6789, 6800, 7050 and 7300"]),
            ("mtu", "C2", &["it does not answer the pings of C1"]),
            ("ports", "C3", &["it could not be surveyed"]),
            ("paths", "C3", &["none of python3, perl and bash", "nothing listened for the test"]),
            ("mtu", "C3", &["it has no `ping`"]),
            ("clock", "C3", &["whenever"]),
            ("ceph", "C4", &["may hold a cluster"]),
            ("cluster", "-", &["4 mons are no safer than 3"]),
        ],
    );

    // what is told to be the cure is one
    let text = said_of(&said, "paths", "C2");
    let from = text.find("`nft insert rule").expect("a command") + 1;
    let cure = &text[from..from + text[from..].find('`').expect("its end")];
    lab.sh("C2", cure);
    let untried = lab.cephdock(&spoiled, &["check", "--json", "--no-connections"]).exits(1).json();
    assert_words(&untried, &[("paths", "C2", &["may keep others out: nft inet mine in"])]);
    let said = check(lab, &spoiled, 1);
    assert_fails(&said, &["paths C1", "disks C1", "login C4"]);

    let seen_again = "for p in bash python3 perl ping; do mv /root/$p /usr/bin/; done; usermod -s /bin/bash root; \
         rm /usr/local/bin/date /usr/local/bin/ss";
    on_each(
        lab,
        &[
            (
                "C1",
                "mv /root/python3 /usr/bin/; systemctl -q stop firewalld; rm /usr/local/bin/date",
            ),
            ("C2", "nft delete table inet mine"),
            ("C3", seen_again),
        ],
    );
}

/// A Docker that is one user's alone, one that its user may not use, and nodes that cannot become clients.
pub(super) fn users_and_clients(lab: &Own) {
    let socket = "/run/user/4711/docker.sock";
    let own = format!(
        "systemctl -q stop docker.socket docker; mkdir -p /run/user/4711; systemd-run -q --unit=mine-$$ dockerd -H unix://{socket}
         for try in $(seq 100); do [ -S {socket} ] && break; sleep 0.2; done
         mkdir /var/lib/ceph/cephdock; echo nothing >/var/lib/ceph/cephdock/identity.json"
    );
    // sudo for what cephdock looks with and for nothing else; a 32-bit machine
    let limited = "gpasswd -d ops docker; mv /etc/sudoers.d/ops /root/
        echo 'ops ALL=(ALL) NOPASSWD: /usr/bin/sh, /usr/bin/true' >/etc/sudoers.d/ops
        printf '#!/bin/sh\nexec setarch i686 /usr/bin/uname \"$@\"\n' >/usr/local/bin/uname; chmod 755 /usr/local/bin/uname";
    // the way to C1 is a narrow one
    let narrow = "ip route add 10.32.3.61/32 dev eth0 mtu 1400; mv /usr/bin/apt-get /root/
        printf '#!/bin/sh\nexec /usr/bin/date -d \"-2 seconds\" \"$@\"\n' >/usr/local/bin/date; chmod 755 /usr/local/bin/date";
    on_each(lab, &[("C1", &own), ("C2", limited), ("C3", narrow)]);

    let cluster = CLUSTER.replace("client: {packages: off}\nvolumes: {driver: none}", "");
    let entries = ENTRIES
        .replace("roles: [mon, osd]", "roles: [osd]")
        .replace("10.32.3.62,", "10.32.3.62, ssh: {user: ops},");
    let said = check(lab, &lab.inventory("users.yaml", &cluster, &entries), 1);
    assert_fails(&said, &["docker C1", "ceph C1", "docker C2", "client C2", "client C3"]);
    assert_words(
        &said,
        &[
            ("docker", "C1", &[&format!("a Docker of a single user listens at {socket}")]),
            ("ceph", "C1", &["identity.json", "from another mon node or a backup"]),
            ("mtu", "C1", &["1500 bytes", "from C3 to 10.32.3.61", "the sender is told so"]),
            ("docker", "C2", &["`usermod -aG docker ops`"]),
            ("client", "C2", &["no volume driver for its architecture i686"]),
            ("client", "C3", &["no package manager that cephdock knows", "`client.packages: off`"]),
            ("clock", "C3", &["ms behind the median", "only mons have to agree"]),
        ],
    );

    let everybodys = "systemctl -q stop 'mine-*'; rm -rf /run/user/4711 /var/lib/ceph/cephdock; systemctl reset-failed docker docker.socket; systemctl -q start docker.socket docker";
    let trusted = "mv /root/ops /etc/sudoers.d/; gpasswd -a ops docker; rm /usr/local/bin/uname";
    let wide =
        "ip route del 10.32.3.61/32 dev eth0; mv /root/apt-get /usr/bin/; rm /usr/local/bin/date";
    on_each(lab, &[("C1", everybodys), ("C2", trusted), ("C3", wide)]);
}
