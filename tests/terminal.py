import os, pty, select, sys, termios, time


def typed(command, seconds, after):
    """Runs a command on a terminal. `after(said, terminal)` is called whenever it has said something, with all that it has
    said; what it returns is taken for said too. Gives what was said and the exit code; a command that does not end in time
    is killed, and its code is below 0."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    said, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 65536)
        except OSError:
            break
        said += after(said, terminal) or b""
    else:
        os.kill(pid, 9)
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


