"""Runs a program that obeys the lines of its standard input, and stops when they end.

The work is done in a child process. If its parent is killed, the kernel closes the pipe between them, and the child
stops the services.
"""

import contextlib
import os
import queue
import select
import signal
import socket
import threading
import traceback

from services import say, spawning

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop(BaseException):
    """The caller requested to stop."""


def stop(*_):
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stop


def listen_to(lifeline, commands):
    """Passes on the commands of the caller, and interrupts when they end."""
    with contextlib.suppress(OSError), lifeline.makefile() as lines:
        for line in lines:
            commands.put(line.strip())
    spawning.acquire()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)


def ignore_signals():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def worker(lifeline, work):
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    commands = queue.SimpleQueue()
    try:
        threading.Thread(target=listen_to, args=[lifeline, commands], daemon=True).start()
        work(commands)
    except Stop:
        say("stopped: standard input ended or a signal came")
        return 0
    except Exception:
        traceback.print_exc()
    return 1


def supervise(child, lifeline):
    """Passes on the commands of the caller until they end. If it is killed, the kernel closes the pipe."""
    with contextlib.suppress(Stop, BrokenPipeError), lifeline:
        for number in SIGNALS:
            signal.signal(number, stop)
        while lifeline not in select.select([0, lifeline], [], [])[0]:
            said = os.read(0, 4096)
            if not said:
                break
            lifeline.sendall(said)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve(work):
    """Calls `work` with a queue of the lines of standard input. Returns the exit code."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        return worker(theirs, work)
    theirs.close()
    return supervise(child, ours)
