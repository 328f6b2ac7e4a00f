# Listens on `ADDRESS PORT` pairs after $1 (Python), $2 (Perl) and $3 (seconds), until stdin ends or the time is up.
# Where somebody listens already, that will do. Says `ready`, or `unable` where nothing here can listen.
python=$1; perl=$2; shift 2
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
for p in python3 /usr/libexec/platform-python; do
  if command -v $p >/dev/null; then exec $p -c "$python" "$@"; fi
done
if command -v perl >/dev/null && perl -MSocket -e 1 2>/dev/null; then exec perl -e "$perl" "$@"; fi
echo unable
