# SPDX-License-Identifier: ISC
"""What the audit record costs a message: R of bench.py. Two servers, one with it and one
without, measured in turns, so that both see the same machine."""
import glob
import statistics
import time

from daemon import Sink
from logins import spread
from measure import Submitd

LOAD = {"connections": 50, "per_connection": 100, "size": 10240, "threads": 2, "timeout": 60}


def role_us(server, role):
    """CPU of a role so far, to the nanosecond, all of its threads."""
    total = 0
    for pid in server.s.roles().get(role, []):
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total / 1000


def once(server, sink, n):
    before, cpu = sink.stats()["messages"], server.cpu()
    ledger, queue = role_us(server, "ledger"), role_us(server, "queue")
    r = server.load(messages=n, **LOAD)
    end = time.monotonic() + 60
    while time.monotonic() < end and sink.stats()["messages"] - before < r["ok"]:
        time.sleep(0.02)
    time.sleep(1.5)                     # the last sync and acknowledgement belong to it
    done = max(r["ok"], 1)
    return {"all": (server.cpu() - cpu) * 1e6 / done, "failed": n - r["ok"],
            "ledger": (role_us(server, "ledger") - ledger) / done,
            "queue": (role_us(server, "queue") - queue) / done}


def run(reps, short):
    n, rows = (2000 if short else 5000), {"without": [], "with": []}
    with Submitd(blocks={"audit": ""}) as a, Sink(a.dir, port=a.next) as sink_a, \
            Submitd() as b, Sink(b.dir, port=b.next) as sink_b:
        for server in (a, b):
            server.load(connections=10, messages=500, per_connection=10, size=2048)
        time.sleep(1)
        pair = [("without", a, sink_a), ("with", b, sink_b)]
        for _ in range(16 * reps + 1):      # many and short: the machine changes less within one
            for kind, server, sink in pair:
                rows[kind].append(once(server, sink, n))
            pair.reverse()

    def median(kind, key):
        return round(statistics.median(r[key] for r in rows[kind]), 2)
    result = {"test": "R", "peer": "submitd"}
    for kind in rows:
        result[kind] = {k: median(kind, k) for k in ("all", "ledger", "queue")}
    added = [w["ledger"] + w["queue"] - o["ledger"] - o["queue"]
             for w, o in zip(rows["with"], rows["without"])]
    result["added_us"] = spread(added)
    result["percent"] = spread(100 * us / o["all"] for us, o in zip(added, rows["without"]))
    result["pairs"] = len(added)
    return result


TESTS = {"R": run}


def show(r):
    """Prints the table; gives what was missed."""
    print("\n| T2, CPU us per message | all | queue | ledger |\n" + "|---" * 4 + "|")
    for kind in ("without", "with"):
        v = r[kind]
        print(f"| {kind} the audit record | {v['all']} | {v['queue']} | {v['ledger']} |")
    (low_us, us, high_us), (low, percent, high) = r["added_us"], r["percent"]
    print(f"| the record costs | {us:.2f} us ({low_us:.2f} to {high_us:.2f}), "
          f"{percent:.2f} % ({low:.2f} to {high:.2f}) | | |\n"
          f"medians of {r['pairs']} pairs; in brackets their quartiles")
    return [f"R: the audit record costs {percent:.2f} % > 3 %"] if percent > 3 else []
