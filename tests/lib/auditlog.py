# SPDX-License-Identifier: ISC
"""What a test asks of the audit record."""
import collections
import json

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
