# SPDX-License-Identifier: ISC
"""What a test asks of the audit record, and a disk for it that runs full."""
import collections
import contextlib
import json
import os

import peers
from daemon import patience
from tap import equal, wait_for


def records(s, name="audit.log"):
    rows = []
    with open(f"{s.dir}/{name}", "rb") as f:
        for line in f.read().split(b"\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                pass                        # torn by a kill
    return [r for r in rows if isinstance(r, dict)]


def accepted(s, names=("audit.log",)):
    """How often each message stands there: by its mid, and by the id that the load gave it."""
    count = collections.Counter()
    for n in names:
        for r in records(s, n):
            if r["kind"] == "accept":
                count.update({r["mid"], r["message_id"].strip("<>").split("@")[0]})
    return count


def verify(s, *args, status=0):
    r = s.run_ctl("audit", "verify", *args)
    equal(r.returncode, status, r.stdout + r.stderr)
    return r.stdout


def recorded(s, mids, names=("audit.log",)):
    missing = set(mids)

    def all_there():
        missing.difference_update(accepted(s, names))
        return not missing
    try:
        wait_for(all_there, "a record of each message", patience(40), step=0.2)
    except AssertionError:
        lines = [x for x in s.log().split("\n") if any(m in x for m in list(missing)[:2])]
        raise AssertionError("\n".join([f"no record of {len(missing)}:", *lines])) from None


@contextlib.contextmanager
def small_disk(s, size="4m"):
    """s.dir/small, a file system of its own; s is killed before it goes."""
    peers.need_root("mounting a small file system")
    os.mkdir(s.dir + "/small")
    r = peers.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", s.dir + "/small")
    if r.returncode:
        raise peers.Skip("mount -t tmpfs: " + r.stderr.strip())
    try:
        yield s.dir + "/small"
    finally:
        s.kill_all()
        peers.run("umount", "-l", s.dir + "/small")


def fill(directory):
    """To the last octet. Gives the file that takes the room."""
    path = directory + "/ballast"
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)
    return path
