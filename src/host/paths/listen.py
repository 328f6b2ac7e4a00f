import signal, socket, sys
signal.alarm(int(sys.argv[1]))
held = []
for address, port in zip(sys.argv[2::2], sys.argv[3::2]):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((address, int(port)))
        s.listen(128)
        held.append(s)
    except OSError:
        pass
print("ready", flush=True)
sys.stdin.read()
