# Looks at a node and changes nothing. Run by `sh -s` as root, with FILES, DISKS, SERVES, PROGRAM, UNIT, ROOT and LEFT
# set by the lines before it.
# Output: sections that begin with a line @@name; src/facts/probe.rs reads them.
# It is run often and on many nodes: what a shell can do by itself starts no program, and what a program prints is taken
# apart by the reader.
LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH
s() { printf '\n@@%s\n' "$1"; }

host=$(uname -nrm); kernel=${host#* }; kernel=${kernel% *}
s host; echo "$host"
s addr; ip -o addr show 2>/dev/null || hostname -I
d=/var/lib/ceph; while [ ! -d "$d" ]; do d=${d%/*}; done
s free; df -Pk "${d:-/}"

# A daemon that is being made renames its folder when it is complete: what is in folders and which there are has to be
# of one moment, so it is looked at until it did not change meanwhile.
look_at_folders() {
  folders='
@@mons'
  for d in /var/lib/ceph/mon/*; do
    case $d in *.prepare | *.bootstrap) continue ;; esac
    [ -d "$d" ] || continue
    fsid=; [ -f "$d/cephdock.fsid" ] && read -r fsid <"$d/cephdock.fsid"
    folders="$folders
${d##*/} $fsid"
  done
  folders="$folders

@@osds"
  for d in /var/lib/ceph/osd/ceph-*; do
    case $d in *.prepare) continue ;; esac
    [ -d "$d" ] || continue
    uuid=-; [ -f "$d/fsid" ] && read -r uuid <"$d/fsid"
    fsid=-; [ -f "$d/ceph_fsid" ] && read -r fsid <"$d/ceph_fsid"
    folders="$folders
${d##*/} $uuid $fsid"
  done
}
look_at_files() {
  content=
  set --; for f in $FILES /var/lib/ceph/osd/ceph-*/keyring; do [ -f "$f" ] && set -- "$@" "$f"; done
  [ $# -eq 0 ] || content=$(stat -c 's %a %n' "$@"; sha256sum "$@")
}
for _ in 1 2 3 4 5; do
  look_at_folders; before=$folders; look_at_files; look_at_folders
  [ "$before" = "$folders" ] && break
done
s files; printf '%s\n%s\n' "$content" "$folders"
if [ -f /etc/ceph/ceph.conf ]; then s conf; cat /etc/ceph/ceph.conf; fi
if [ -e /var/lib/ceph/cephdock/identity.json ]; then s identity; cat /var/lib/ceph/cephdock/identity.json; fi
s tree; find /etc/ceph /var/lib/ceph -maxdepth 2 2>/dev/null

for d in /sys/bus/rbd/devices/*; do
  [ -d "$d" ] || continue
  n=${d##*/}
  s "rbd $n"; echo "device /dev/rbd$n"
  for f in pool pool_ns name cluster_fsid; do [ -r "$d/$f" ] && IFS= read -r v <"$d/$f" && echo "$f $v"; done
  while read -r dev at _; do case $dev in /dev/rbd"$n" | /dev/rbd"$n"p*) echo "mount $at" ;; esac; done </proc/mounts
done

# no inventory yet: every disk there is, but for those that are memory or come over the network
if [ "$DISKS" = all ]; then
  DISKS=$(lsblk -dnpo NAME,TYPE | sed -n 's/ *disk$//p' | grep -Ev '^/dev/(zram|ram|nbd|rbd|drbd|fd|mtd)')
fi
# disks that OSDs here are on and the inventory does not name
for l in /var/lib/ceph/osd/ceph-*/block; do
  if [ ! -L "$l" ] || [ ! -b "$l" ]; then continue; fi
  for disk in $DISKS; do [ "$disk" -ef "$l" ] && continue 2; done
  DISKS="$DISKS $(readlink "$l")"
done

s client
# dpkg and apt may be installed where rpm rules
if command -v apt-get >/dev/null && [ -s /var/lib/dpkg/status ]; then echo manager apt-get; fi
for m in dnf yum zypper apk; do if command -v $m >/dev/null; then echo "manager $m"; fi; done
if command -v ceph >/dev/null; then echo ceph; fi
# the dearest part, and still cheaper than `ceph --version`, a Python program; no ceph.conf can be in its way
if command -v rbd >/dev/null; then
  v=$(CEPH_CONF=/dev/null rbd --version 2>&1 </dev/null); echo "rbd ${v%%
*}"
fi
if [ -d /sys/bus/rbd ]; then
  if [ -e /sys/module/rbd/initstate ]; then echo module loaded; else echo module builtin; fi
elif [ -f "/lib/modules/$kernel/modules.dep" ] && grep -q '/rbd\.ko' "/lib/modules/$kernel/modules.dep"; then echo module loadable; fi
if [ -r /sys/bus/rbd/supported_features ] && read -r f </sys/bus/rbd/supported_features; then echo "features $f"; fi

# cephdock's volume driver: PROGRAM and UNIT are its files, LEFT others that there may be of it, ROOT a folder that it
# shares, and that has nothing but folders in it when they are gone
s driver
if [ -d /run/systemd/system ]; then echo systemd; fi
for f in $LEFT; do if [ -e "$f" ] || [ -L "$f" ]; then echo "left $f"; fi; done
if [ -d "$ROOT" ] && [ -z "$(find "$ROOT" -xdev ! -type d 2>/dev/null)" ]; then echo "left $ROOT"; fi
set --; for f in "$PROGRAM" "$UNIT"; do if [ -f "$f" ]; then set -- "$@" "$f"; fi; done
if [ $# -gt 0 ]; then
  stat -c 'mode %a %n' "$@"; sha256sum "$@"
  if [ -f "$UNIT" ]; then
    while read -r l; do case $l in '#'* | ExecStart=*) echo "unit $l" ;; esac; done <"$UNIT"
  fi
  if [ -d /run/systemd/system ]; then
    v=$(systemctl show -p ActiveState -p UnitFileState -p MainPID "${UNIT##*/}" 2>/dev/null); echo "$v"
    pid=${v#*MainPID=}; pid=${pid%%[!0-9]*}
    if [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/cmdline" ]; then
      echo "runs $(tr '\0' ' ' <"/proc/$pid/cmdline")"
      if [ "/proc/$pid/exe" -ef "$PROGRAM" ]; then echo current; fi
    fi
  fi
fi

for disk in $DISKS; do
  s "disk $disk"
  [ -e "$disk" ] || continue
  echo exists
  real=$(readlink -f "$disk"); echo "real $real"
  [ -b "$real" ] || continue
  echo block
  lsblk -bnPo KNAME,TYPE,SIZE,SERIAL,WWN,FSTYPE,MOUNTPOINT "$real" 2>/dev/null
  for l in /dev/disk/by-id/*; do [ "$l" -ef "$real" ] && echo "byid $l"; done
  for l in "/sys/block/${real##*/}/holders/"*; do [ -e "$l" ] && echo "holder ${l##*/}"; done
  while read -r name _; do [ "$name" = "$real" ] && echo swap; done </proc/swaps
  if command -v blkid >/dev/null; then
    blkid -p -o export "$real" 2>/dev/null; echo "blkid-status $?"
  fi
  head=$(head -c 4096 "$real" 2>/dev/null | base64)
  # shellcheck disable=SC2086  # its lines become words of one
  echo head $head
  case $head in Ymx1ZXN0b3JlIGJsb2NrIGRldmlj*) continue ;; esac # "bluestore block devic": nobody asks for its zeros
  # a disk that cannot be read gives no answer, which is not the same as zeros
  if first=$(head -c 1048576 "$real" 2>/dev/null | tr -d '\0' | head -c 1 | wc -c) && head -c 1048576 "$real" >/dev/null 2>&1; then
    if [ "$first" -eq 0 ]; then echo "zero yes"; else echo "zero no"; fi
  fi
done

# The firewall that runs, whatever is installed. firewall-cmd is a slow program: it is asked once, and only where the
# daemon runs; what is permanent lies in files.
state=no
if [ -d /run/systemd/system ]; then
  # systemd keeps a link for each unit that is active (unit_export_state_files in its unit.c), old ones none at all: to
  # ask for the state itself costs a fifth of the whole probe
  set -- /run/systemd/units/invocation:*
  if [ -L /run/systemd/units/invocation:firewalld.service ] || [ ! -L "$1" ]; then
    case $(systemctl is-active firewalld 2>/dev/null) in active | activating | reloading | deactivating) state=yes ;; esac
  fi
elif read -r pid 2>/dev/null </run/firewalld.pid && kill -0 "$pid" 2>/dev/null; then state=yes
fi
if [ "$state" = yes ] || [ -d /etc/firewalld ]; then
  if [ "$state" = no ]; then s "firewalld no"; else
    s "firewalld yes $(sed -n 's/^DefaultZone=//p' /etc/firewalld/firewalld.conf 2>/dev/null)"
    live=$(timeout 15 firewall-cmd --list-all-zones 2>&1) || echo "!$?"
    echo "$live"
  fi
  for f in /etc/firewalld/zones/*.xml; do
    [ -f "$f" ] || continue
    f=${f##*/}; s "zonefile ${f%.xml}"; cat "/etc/firewalld/zones/$f"
  done
fi
firewall=$state; state=no
if [ -f /etc/ufw/user.rules ]; then
  live=
  if grep -q '^ENABLED=yes' /etc/ufw/ufw.conf 2>/dev/null && live=$(iptables -w 5 -S ufw-user-input 2>/dev/null); then state=yes; firewall=yes; fi
  s "ufw $state"; echo "$live"
  [ "$state" = no ] || ip6tables -w 5 -S ufw6-user-input 2>/dev/null
  grep -h '^### tuple' /etc/ufw/user.rules /etc/ufw/user6.rules 2>/dev/null
fi
# rules of neither: chains that packets to this node go through. They matter where others have to reach its daemons.
if [ "$firewall" = no ] && [ "$SERVES" = yes ]; then
  if command -v nft >/dev/null; then
    nft list chains 2>/dev/null | while read -r a b c d _; do
      if [ "$a" = table ]; then table="$b $c"
      elif [ "$a" = chain ]; then chain=$b
      elif [ "$a $c $d" = "type hook input" ]; then
        s "input nft $table $chain"
        # shellcheck disable=SC2086  # family and name are two words
        nft list chain $table "$chain" </dev/null 2>/dev/null
      fi
    done
  fi
  # to ask where there is no such table would make one
  for ip in ip ip6; do
    tables=; [ ! -f /proc/net/${ip}_tables_names ] || while read -r table; do tables="$tables $table "; done </proc/net/${ip}_tables_names
    case $tables in *' filter '*) s "input ${ip}tables INPUT"; ${ip}tables-legacy -w 5 -S INPUT 2>/dev/null || ${ip}tables -w 5 -S INPUT 2>/dev/null ;; esac
  done
fi
s end
