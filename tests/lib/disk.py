# SPDX-License-Identifier: ISC
"""A disk of a test's own, that runs full."""
import contextlib
import os
import threading

import peers


@contextlib.contextmanager
def small_disk(s, name="small", options="size=4m"):
    """s.dir/name, a file system of its own; s is killed before it goes."""
    peers.need_root("mounting a small file system")
    path = f"{s.dir}/{name}"
    os.mkdir(path)
    r = peers.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)
    if r.returncode:
        raise peers.Skip("mount -t tmpfs: " + r.stderr.strip())
    try:
        yield path
    finally:
        s.kill_all()
        peers.run("umount", "-l", path)


def fill(directory):
    """To the last octet. Gives the file that takes the room."""
    path = directory + "/ballast"
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)
    return path


@contextlib.contextmanager
def greedy(directory):
    """Full to the last octet, and who fills it takes at once whatever becomes free."""
    path = fill(directory)
    enough = threading.Event()

    def take():
        while not enough.wait(0.001):
            with contextlib.suppress(OSError), open(path, "ab", buffering=0) as f:
                while not enough.is_set():
                    f.write(b"x" * 65536)
    taker = threading.Thread(target=take)
    taker.start()
    try:
        yield
    finally:
        enough.set()
        taker.join()
        os.unlink(path)
