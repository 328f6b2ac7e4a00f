# A whole cluster in one container: its keys once, then a mon, a mgr and an OSD, each by its own script, and the pool.
# CONF and the DAEMON lines are put in by spec.rs. All that lasts is under /var/lib/ceph, the demo's volume.
set -eu
umask 022
keys=/var/lib/ceph/demo
mkdir -p /etc/ceph /var/lib/ceph/mon /var/lib/ceph/mgr /var/lib/ceph/osd /var/lib/ceph/bootstrap-osd
printf '%s' CONF >/etc/ceph/ceph.conf

# The keys: made here, so that nobody else ever has them, and whole or not at all.
type=; case $(ceph-authtool --help 2>&1) in *--key-type*) type=aes256k ;; esac
key() { # key FILE ENTITY [ceph-authtool options]
  file=$1 entity=$2; shift 2
  ceph-authtool --create-keyring "$new/$file" --gen-key -n "$entity" ${type:+--key-type "$type"} "$@" >/dev/null
  cat "$new/$file" >>"$new/all"
}
if [ ! -d "$keys" ]; then
  new=$keys.prepare; rm -rf "$new"; (umask 077; mkdir "$new"; : >"$new/all"
    key mon mon. --cap mon 'allow *'
    key admin client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
    key mgr mgr.demo --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *'
    key osd osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *')
  sync "$new/all"; mv -T "$new" "$keys"
fi
put() { mkdir -p -m 750 "${2%/*}"; cp "$keys/$1" "$2"; chmod 600 "$2"; } # put KEY PATH
put admin /etc/ceph/ceph.client.admin.keyring
put mgr /var/lib/ceph/mgr/ceph-demo/keyring
if [ -d /var/lib/ceph/osd/ceph-0 ]; then put osd /var/lib/ceph/osd/ceph-0/keyring
else put osd /var/lib/ceph/osd/ceph-0.prepare/keyring; fi
if [ ! -d /var/lib/ceph/mon/ceph-demo ]; then
  put all /var/lib/ceph/mon/ceph-demo.bootstrap/keyring
  echo 'demo [v2:127.0.0.1:3300,v1:127.0.0.1:6789]' >/var/lib/ceph/mon/ceph-demo.bootstrap/mons
fi

# What ends before it is told to ends all of it, and Docker starts it again.
code=0
trap 'code=1; end' USR1
trap end TERM INT
end() { trap '' USR1 TERM INT; kill -TERM 0; wait; exit "$code"; }
run() { { trap - USR1 TERM INT; "$@" || :; echo "demo: $1 has ended" >&2; kill -USR1 1; } & }
mon() { DAEMON_MON; }
mgr() { DAEMON_MGR; }
osd() { DAEMON_OSD; }
run mon; run mgr; run osd

# The pool, once. The mons answer and the OSD comes up meanwhile; cephdock has a deadline for both, and so has this.
pool() {
  ceph --connect-timeout 120 osd pool create rbd 32 32
  ceph --connect-timeout 120 osd pool application enable rbd rbd
  timeout 180 rbd pool init rbd
  if [ -n "$type" ]; then
    for check in AUTH_INSECURE_CLIENT_KEY_TYPE AUTH_INSECURE_KEYS_ALLOWED AUTH_INSECURE_KEYS_CREATABLE; do
      ceph --connect-timeout 120 health mute "$check" --sticky
    done
  fi
  : >"$keys/pool"
}
[ -e "$keys/pool" ] || { (trap - USR1 TERM INT; set -e; pool) || kill -USR1 1; } &
wait
