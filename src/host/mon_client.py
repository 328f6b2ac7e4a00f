# Speaks to the mons for cephdock, inside a mon's container: one process for a whole run instead of one `ceph` for each
# question. A line of JSON in, a line of JSON out; it ends with its stdin.
# in:  {"timeout": seconds, "commands": [{"json": {...}, "input": "..."}]}
# out: {"results": [{"code": 0, "out": "...", "said": "..."}]}, or {"error": "..."} once, before it ends
import json
import sys

import rados


def reply(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


cluster = rados.Rados(
    conffile="/etc/ceph/ceph.conf",
    name="client.admin",
    conf={"client_mount_timeout": sys.argv[1], "rados_mon_op_timeout": sys.argv[1], "mon_client_hunt_interval": "0.5"},
)
try:
    cluster.connect()
except Exception as error:
    reply({"error": str(error)})
    sys.exit(1)
reply({"results": []})

for line in sys.stdin:
    question = json.loads(line)
    results = []
    for command in question["commands"]:
        try:
            code, out, said = cluster.mon_command(
                json.dumps(command["json"]), (command.get("input") or "").encode(), timeout=question["timeout"]
            )
        except Exception as error:
            code, out, said = -110, b"", str(error)
        results.append({"code": code, "out": out.decode(errors="replace"), "said": said})
    reply({"results": results})
