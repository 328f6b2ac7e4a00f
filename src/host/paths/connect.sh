# Connects to others and sends them large packets. PYTHON, PERL, SECONDS_EACH, TO (`ADDRESS PORT` pairs) and PINGS (`ADDRESS
# PAYLOAD` pairs) are set by the lines before. Output: src/facts/survey.rs, `connected`.
LC_ALL=C; PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin; export LC_ALL PATH

try() { said=$(ping -q -n -c 1 -W 1 "$@" 2>&1 </dev/null); }
fare() {
  if try -M "do" -s "$2" "$1" || try -M "do" -s "$2" "$1"; then echo "ping $1 large"; return; fi
  # `1 packets transmitted, 0 received, +1 errors`: an answer that it is too large, once small ones pass
  large=$said
  if try -s 56 "$1" || try -s 56 "$1"; then
    case $large in *' errors'*) echo "ping $1 told" ;; *) echo "ping $1 small" ;; esac
  else echo "ping $1 none"; fi
}
# that of busybox knows nothing of fragments
if ping -V 2>&1 | grep -q iputils; then
  # shellcheck disable=SC2086  # pairs are words
  set -- $PINGS
  while [ $# -gt 1 ]; do fare "$1" "$2" & shift 2; done
else echo no-ping; fi

# shellcheck disable=SC2086
set -- $TO
found=; for p in python3 /usr/libexec/platform-python; do
  if command -v $p >/dev/null; then found=$p; break; fi
done
if [ $# -eq 0 ]; then :
elif [ -n "$found" ]; then $found -c "$PYTHON" "$SECONDS_EACH" "$@" </dev/null
elif command -v perl >/dev/null && perl -MSocket -MErrno -MFcntl -e 1 2>/dev/null; then perl -e "$PERL" "$SECONDS_EACH" "$@" </dev/null
elif command -v bash >/dev/null; then
  while [ $# -gt 1 ]; do
    {
      said=$(timeout "$SECONDS_EACH" bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1 </dev/null); code=$?
      case $code:$said in
        0:*) echo "through $1 $2" ;;
        124:*) echo "blocked $1 $2 no answer in $SECONDS_EACH s" ;;
        *refused*) echo "refused $1 $2" ;;
        *) echo "blocked $1 $2 $(echo "$said" | sed -n '$s/.*: //p')" ;;
      esac
    } &
    shift 2
  done
else echo unable; fi
wait
echo end
