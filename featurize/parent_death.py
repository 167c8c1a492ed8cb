"""A child process that does not outlive its parent, not even where native code never returns."""

import fcntl
import multiprocessing
import os
import signal
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """Let the kernel end this child process once its parent is gone, however that ended.

    multiprocessing gives a child the reading end of a pipe whose other end only the parent holds. The kernel
    sends SIGIO when that closes, and SIGIO ends a process that does not handle it. A thread that waited for
    the same would not run while native code holds the interpreter, and PR_SET_PDEATHSIG would watch the fork
    server, which may serve other processes too. SIGTERM is given its default for the first reason.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no child process"
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if wait([parent.sentinel], 0):  # it ended before the kernel was asked
        os._exit(1)
