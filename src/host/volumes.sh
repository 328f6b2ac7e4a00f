# Looks at what a node has to do with volumes and changes nothing. Run by `sh -s` as root.
# Output: sections that begin with a line @@name; src/volume/fleet/node.rs reads them.
LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH
s() { printf '\n@@%s\n' "$1"; }

numbers=
for d in /sys/bus/rbd/devices/*; do
  [ -d "$d" ] || continue
  n=${d##*/}
  s "device $n"
  for f in pool pool_ns name image_id client_addr cluster_fsid; do [ -r "$d/$f" ] && echo "$f $(cat "$d/$f")"; done
  [ -r "/sys/block/rbd$n/ro" ] && echo "ro $(cat "/sys/block/rbd$n/ro")"
  for f in "/sys/block/rbd$n/dev" "/sys/block/rbd$n/rbd$n"p*/dev; do
    [ -r "$f" ] && read -r number <"$f" && echo "dev $number" && numbers="$numbers $number"
  done
  for f in "/sys/block/rbd$n/holders/"* "/sys/block/rbd$n/rbd$n"p*/holders/*; do [ -e "$f" ] && echo "holder ${f##*/}"; done
done

# containers have mount namespaces of their own: one process of each is looked at
if [ -n "$numbers" ]; then
  s mounts
  stat -c %N /proc/[0-9]*/ns/mnt 2>/dev/null | awk -F"'" '!seen[$4]++ { print $2 }' | while IFS= read -r f; do
    awk -v numbers="$numbers" 'BEGIN { split(numbers, n, " "); for (i in n) wanted[n[i]] } $3 in wanted { print $3, $5 }' "${f%/ns/mnt}/mountinfo" 2>/dev/null
  done
fi

# the file stays when nobody listens any more
s driver; if grep -q ' /run/docker/plugins/cephdock.sock$' /proc/net/unix; then echo yes; else echo no; fi
if [ -f /var/lib/cephdock/volumes.json ]; then s state; cat /var/lib/cephdock/volumes.json; fi
s end
