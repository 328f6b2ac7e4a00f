# Speaks to the mons for cephdock, inside a mon's container: one process for a whole run instead of one `ceph` for each
# question. A line of JSON in, a line of JSON out; it ends with its stdin.
# in:  {"timeout": seconds, "commands": [{"json": {...}, "input": "..."}]}
# or:  {"flush": {"osds": [0, 1], "epoch": 12}}: has these OSDs report on their PGs; one result for each, its `out` the report's number
# out: {"results": [{"code": 0, "out": "...", "said": "..."}]}, or {"error": "..."} once, before it ends
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import rados


def reply(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def flush(osd, epoch):
    """Has an OSD that knows the map of this epoch report now."""
    try:
        code, out, said = cluster.osd_command(osd, json.dumps({"prefix": "status", "format": "json"}), b"")
        seen = json.loads(out) if code == 0 else {}
        # one whose container was made anew answers at the old one's address before the mons know that it has booted
        if code == 0 and seen["state"] != "active":
            return {"code": -11, "out": "", "said": "says that it is %s" % seen["state"]}
        # a number until Ceph 19, a text since 20
        if code == 0 and int(seen["newest_map"]) < epoch:
            return {"code": -11, "out": "", "said": "does not know the newest map yet"}
        if code == 0:
            code, out, said = cluster.osd_command(osd, json.dumps({"prefix": "flush_pg_stats", "format": "json"}), b"")
        if code == 0:
            number = json.loads(out)
            return {"code": 0, "out": str(number["stat_seq"] if isinstance(number, dict) else number), "said": ""}
        return {"code": code, "out": "", "said": "answers with error %d: %s" % (code, said)}
    except Exception as error:
        return {"code": -110, "out": "", "said": "does not answer: %s" % error}


cluster = rados.Rados(
    conffile="/etc/ceph/ceph.conf",
    name="client.admin",
    conf={"client_mount_timeout": sys.argv[1], "rados_mon_op_timeout": sys.argv[1], "mon_client_hunt_interval": "0.5", "rados_osd_op_timeout": "10"},
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
    if "flush" in question:
        wanted = question["flush"]
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda osd: flush(osd, wanted["epoch"]), wanted["osds"]))
    for command in question["commands"]:
        try:
            code, out, said = cluster.mon_command(
                json.dumps(command["json"]), (command.get("input") or "").encode(), timeout=question["timeout"]
            )
        except Exception as error:
            code, out, said = -110, b"", str(error)
        results.append({"code": code, "out": out.decode(errors="replace"), "said": said})
    reply({"results": results})
