import errno, os, select, socket, sys, time
seconds = float(sys.argv[1])
waiting = {}
def tell(key, error):
    if error == 0: print("through", *key)
    elif error == errno.ECONNREFUSED: print("refused", *key)
    else: print("blocked", *key, os.strerror(error))
for key in zip(sys.argv[2::2], sys.argv[3::2]):
    s = socket.socket(socket.AF_INET6 if ":" in key[0] else socket.AF_INET)
    s.setblocking(False)
    error = s.connect_ex((key[0], int(key[1])))
    if error in (0, errno.EINPROGRESS): waiting[s.fileno()] = (s, key)
    else: tell(key, error)
end = time.monotonic() + seconds
poll = select.poll()
for fd in waiting: poll.register(fd, select.POLLOUT)
while waiting and time.monotonic() < end:
    for fd, _ in poll.poll(max(0, (end - time.monotonic()) * 1000)):
        poll.unregister(fd)
        s, key = waiting.pop(fd)
        tell(key, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        s.close()
for s, key in waiting.values(): print("blocked", *key, "no answer in %g s" % seconds)
