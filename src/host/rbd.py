# Asks Ceph about images, or changes one, for cephdock, inside a mon's container: one client of the cluster for all of
# it, where the rbd tool would be a client for each question. What is asked is JSON in argv[1]; the answer is JSON on
# stdout: {"ok": ...}, or {"errno": N, "said": "..."}. Images are opened read-only to be looked at, which sets no watch.
import errno
import json
import re
import sys
import time

import rados
import rbd

# names of feature bits: librbd.h
FEATURES = ["layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling", "data-pool", "operations", "migrating", "non-primary"]
FAST_DIFF, FAST_DIFF_INVALID = 1 << 4, 1 << 1


def moment(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else None


def optional(ask, otherwise=None):
    # what an older Ceph cannot say, or what is not there
    try:
        return ask()
    except Exception:
        return otherwise


def used(image, size):
    if not image.features() & FAST_DIFF or image.flags() & FAST_DIFF_INVALID:
        return None
    total = 0

    def count(_, length, exists):
        nonlocal total
        total += length if exists else 0

    image.diff_iterate(0, size, None, count, include_parent=False, whole_object=True)
    return total


def clones(image, name):
    image.set_snap(name)
    try:
        return [child["pool"] + "/" + child["image"] for child in image.list_children2() if not child.get("trash")]
    finally:
        image.set_snap(None)


def snapshots(image):
    found = []
    for snap in image.list_snaps():
        # those of groups, of the trash and of mirroring have namespaces of their own
        if snap.get("namespace", 0) == 0:
            found.append({
                "name": snap["name"], "size": snap["size"],
                "created": optional(lambda: moment(image.get_snap_timestamp(snap["id"]))),
                "clones": optional(lambda: clones(image, snap["name"]), []),
            })
    return found


def locks(image):
    held = optional(image.list_lockers) or {}
    return [{"client": client, "cookie": cookie, "address": address} for client, cookie, address in held.get("lockers", [])]


def parent(image):
    pool, name, snap = image.parent_info()
    return f"{pool}/{name}@{snap}"


def owner(io, image_id):
    return io.get_xattr("cephdock.owner." + image_id, "owner").decode()


def look_at(io, pool, name):
    with rbd.Image(io, name, read_only=True) as image:
        size, image_id = image.size(), image.id()
        return {
            "pool": pool, "name": name, "id": image_id, "size": size, "used": optional(lambda: used(image, size)),
            "features": [f for bit, f in enumerate(FEATURES) if image.features() >> bit & 1],
            "meta": dict(image.metadata_list()), "created": optional(lambda: moment(image.create_timestamp())),
            "snapshots": snapshots(image), "watchers": [w["addr"] for w in image.watchers_list()],
            "locks": locks(image), "owner": optional(lambda: owner(io, image_id)), "parent": optional(lambda: parent(image)),
        }


def look(cluster, ask):
    images, trash, names = [], [], []
    for pool in ask["pools"]:
        with cluster.open_ioctx(pool) as io:
            for name in sorted(rbd.RBD().list(io)):
                names.append(name)
                if ask.get("name") not in (None, name) and not name.startswith(f"cephdock.new.{ask['name']}."):
                    continue
                try:
                    images.append(look_at(io, pool, name))
                except rbd.ImageNotFound:
                    pass  # it has just been removed
                except rbd.Error as error:
                    empty = {"id": "", "size": 0, "used": None, "features": [], "meta": {}, "created": None, "snapshots": [], "watchers": [], "locks": [], "owner": None, "parent": None}
                    images.append({**empty, "pool": pool, "name": name, "error": str(error)})
            for gone in optional(lambda: list(rbd.RBD().trash_list(io)), []):
                trash.append({"pool": pool, "name": gone["name"], "id": gone["id"]})
    return {"fsid": cluster.get_fsid(), "images": images, "names": names, "trash": trash}


def the_same(image, ask):
    if image.id() != ask["id"]:
        raise rbd.ImageNotFound(f"{ask['image']} is another image than a moment ago", errno=errno.ENOENT)


def change(cluster, ask):
    with cluster.open_ioctx(ask["pool"]) as io:
        if ask["do"] == "remove":
            with rbd.Image(io, ask["image"], read_only=True) as image:
                the_same(image, ask)
            rbd.RBD().remove(io, ask["image"])
            optional(lambda: io.remove_object("cephdock.owner." + ask["id"]))
            return None
        with rbd.Image(io, ask["image"]) as image:
            the_same(image, ask)
            if ask["do"] == "resize":
                if ask["size"] < image.size():
                    raise rbd.InvalidArgument("it is larger by now", errno=errno.EINVAL)
                image.resize(ask["size"])
            elif ask["do"] == "snap-create":
                image.create_snap(ask["snapshot"])
            elif ask["do"] == "snap-remove":
                image.remove_snap(ask["snapshot"])
            elif ask["do"] == "snap-rollback":
                image.rollback_to_snap(ask["snapshot"])
            elif ask["do"] == "break-lock":
                # a client that is alive takes its watch up again within seconds after an OSD was restarted
                for _ in range(8):
                    if any(w["addr"] == ask["address"] for w in image.watchers_list()):
                        raise rbd.ImageBusy("its holder watches it again", errno=errno.EBUSY)
                    time.sleep(1)
                image.break_lock(ask["client"], ask["cookie"])
    return None


def main():
    ask = json.loads(sys.argv[1])
    # a cluster that cannot serve lets its clients wait for ever otherwise
    patience = {"client_mount_timeout": "15", "rados_mon_op_timeout": "15", "rados_osd_op_timeout": "25", "mon_client_hunt_interval": "0.5"}
    try:
        cluster = rados.Rados(conffile="/etc/ceph/ceph.conf", name="client.admin", conf=patience)
        cluster.connect()
        try:
            answer = {"ok": look(cluster, ask) if ask["do"] == "look" else change(cluster, ask)}
        finally:
            cluster.shutdown()
    except Exception as error:
        number = getattr(error, "errno", None)
        text = re.sub(r"^\[errno \d+\] ", "", str(error))
        answer = {"errno": abs(number) if isinstance(number, int) else 0, "said": text or type(error).__name__}
    print(json.dumps(answer))


main()
