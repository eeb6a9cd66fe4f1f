#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""make bench: what a message costs, with the project's own generator and sink, beside
Postfix where it is installed, in one sitting.

    bench.py [TEST ...] [--short] [--reps N] [--peer submitd|postfix] [--json FILE]

T1  10 KiB, a connection each          T2  10 KiB, 100 a connection, 50 connections
T3  2 KiB, 200 connections             T4  1 MiB, 20 connections
T2H T2 with delivery held              M   memory of idle, authenticated TLS sessions
L   time of a login on an idle machine F   syncs before the 250, one message at a time
A   CPU of a session with AUTH beside the same without; the guard's part and the hash apart
H   logins that do not need it while one backend of four hangs, beside none hanging
R   what the audit record costs a message, beside the same without
Y   other sessions while all workers compute yescrypt
Q   a full queue (--queue N, default 1000000): accept rate, next due, restart, memory

CPU is that of all processes of the server, from a cgroup of its own (v1 or v2), else from
/proc. Medians of the repetitions; of A and R, which compare small differences, the medians of
what was measured in turns, with the quartiles. Absolute figures move with the machine: read
the ratios.
"""
import argparse
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), HERE]

from daemon import Sink                                           # noqa: E402
from measure import Submitd, PostfixServer, machine, syncs        # noqa: E402
import logins                                                     # noqa: E402
import million                                                    # noqa: E402
import record                                                     # noqa: E402
from tap import Skip                                              # noqa: E402

#           connections, messages, per connection, size
LOADS = {"T1": (50, 3000, 1, 10240), "T2": (50, 10000, 100, 10240),
         "T3": (200, 30000, 100, 2048), "T4": (20, 400, 20, 1 << 20),
         "T2H": (50, 10000, 100, 10240)}
#       must, aim; CPU us, and for M KiB, L ms
BARS = {"T1": (900, 690), "T2": (300, 150), "T2H": (200, 100), "T3": (250, 120),
        "T4": (4100, 3500), "M": (30, 18), "L": (4, 2)}
ORDER = ("T1", "T2", "T2H", "T3", "T4", "M", "L", "F", "A", "H", "Y", "R", "Q")
OWN = ("A", "H", "Y", "R", "Q")        # tables of their own, of submitd alone


def one_load(server, sink, test, short):
    """One repetition: microseconds of CPU per message and what the generator saw."""
    c, n, k, size = LOADS[test]
    if short:
        n //= 10
    before, cpu0, start = sink.stats()["messages"], server.cpu(), time.monotonic()
    r = server.load(connections=c, messages=n, per_connection=k, size=size, threads=2, timeout=30)
    done = max(r["ok"], 1)
    cpu1 = server.cpu()
    complete = test == "T2H"
    if not complete:
        end = time.monotonic() + 60
        while time.monotonic() < end and not complete:
            complete = sink.stats()["messages"] - before >= r["ok"]
            time.sleep(0.02)
        time.sleep(0.3)
    cpu2 = server.cpu()
    last = sink.stats()["last_ns"] / 1e9
    return {"test": test, "peer": server.name, "ok": r["ok"], "failed": n - r["ok"],
            "complete": complete, "accept_s": r["per_s"],
            "e2e_s": round(r["ok"] / max(last - start, 1e-6), 1) if test != "T2H" else None,
            "cpu_us": round((cpu2 - cpu0) * 1e6 / done, 1),
            "cpu_accept_us": round((cpu1 - cpu0) * 1e6 / done, 1),
            "login_p50": r["login_ms"]["p50"], "msg_p50": r["message_ms"]["p50"],
            "msg_p99": r["message_ms"]["p99"], "error": r["error"][:80]}


def idle_memory(server, short):
    base = server.pss_kib()
    p = server.load(wait=False, idle=200 if short else 1000, timeout=100)
    n = int(p.stdout.readline().split()[1])
    time.sleep(5)          # the fronts give memory back after a rush
    full = server.pss_kib()
    p.terminate()
    p.communicate()
    return {"test": "M", "peer": server.name, "sessions": n, "base_kib": base,
            "kib": round((full - base) / n, 1)}


def login(server, short):
    values = []
    for _ in range(20 if short else 60):
        r = server.load(connections=1, messages=1, per_connection=1, size=500, threads=1)
        values.append(r["login_ms"]["p50"])
        time.sleep(0.02)
    return {"test": "L", "peer": server.name, "ms": round(statistics.median(values), 2)}


def measure(kind, tests, reps, short, emit):
    """All tests of one server; the load tests share a running one."""
    loads = [t for t in tests if t in LOADS and t != "T2H"]
    # memory first, in a server of its own: what loads leave behind would hide the sessions
    plan = [(False, [t for t in tests if t in ("M", "L")]), (False, loads)]
    plan.append((True, [t for t in tests if t in ("T2H", "F")]))
    for held, group in plan:
        if not group:
            continue
        with kind(held) as server, Sink(server.dir, port=server.next) as sink:
            server.load(connections=10, messages=200, per_connection=10, size=2048)  # warm up
            time.sleep(1)
            for test in group:
                for _ in range(reps if test in LOADS else 1):
                    if test == "M":
                        emit(idle_memory(server, short))
                    elif test == "L":
                        emit(login(server, short))
                    elif test == "F":
                        emit(syncs(server))
                    else:
                        emit(one_load(server, sink, test, short))


def median(rows, peer, test, key):
    values = [r[key] for r in rows if r["peer"] == peer and r["test"] == test
              and r.get(key) is not None and r.get("ok", 1)]
    return statistics.median(values) if values else None


KEYS = {"M": ("kib", "KiB per idle session"), "L": ("ms", "ms per login"),
        "F": ("per_message", "syncs per message")}


def report(rows, tests):
    print("\n| test | figure | submitd | must | aim | Postfix | ratio |\n" + "|---" * 7 + "|")
    missed = []
    for t in tests:
        if t in OWN:
            continue
        key, what = KEYS.get(t, ("cpu_us", "CPU us per message"))
        own, other = median(rows, "submitd", t, key), median(rows, "postfix", t, key)
        must, aim = BARS.get(t, ("", ""))
        ratio = f"1/{other / own:.1f}" if own and other else ""
        print(f"| {t} | {what} | {'' if own is None else own} | {must} | {aim} | "
              f"{'' if other is None else other} | {ratio} |")
        if own is not None and must != "" and own > must:
            missed.append(f"{t}: {own} > {must}")
        if t == "T2" and own and other and other / own < 9:
            missed.append(f"T2 is 1/{other / own:.1f} of Postfix, not 1/9")
    rate = median(rows, "submitd", "T2", "e2e_s")
    if rate is not None:
        other = median(rows, "postfix", "T2", "e2e_s")
        print(f"| T2 | messages/s end to end | {rate} | 2500 | 6000 | "
              f"{'' if other is None else other} | |")
        if rate < 2500:
            missed.append(f"T2: {rate} messages/s < 2500")
    for r in rows:
        if r["test"] == "Q":
            missed += million.show(r)
        elif r["test"] in record.TESTS:
            missed += record.show(r)
        elif r["test"] in OWN:
            missed += logins.show(r)
        if r.get("failed") or r.get("complete") is False:
            missed.append(f"{r['peer']} {r['test']}: {r['failed']} failed, "
                          f"complete {r['complete']}, {r['error']}")
    for m in missed:
        print("missed: " + m)
    return missed


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("tests", nargs="*", metavar="TEST")
    a.add_argument("--short", action="store_true", help="a tenth of the messages, once")
    a.add_argument("--reps", type=int)
    a.add_argument("--peer", choices=("submitd", "postfix"))
    a.add_argument("--queue", type=int, default=1000000)
    a.add_argument("--json", metavar="FILE", help="append one line per measurement")
    o = a.parse_args()
    tests = [t for t in ORDER if t in o.tests] if o.tests else [t for t in ORDER if t != "Q"]
    if set(o.tests) - set(ORDER):
        a.error(f"tests are {' '.join(ORDER)}")
    reps = o.reps or (1 if o.short else 3)
    rows = []
    print(machine(), flush=True)

    def emit(row):
        rows.append(row)
        print(json.dumps(row), flush=True)
        if o.json:
            with open(o.json, "a") as f:
                f.write(json.dumps(row) + "\n")

    for name, kind in (("submitd", Submitd), ("postfix", PostfixServer)):
        if o.peer in (None, name):
            try:
                measure(kind, tests, reps, o.short, emit)
            except Skip as reason:
                print(f"{name}: not measured: {reason}", flush=True)
    for t in tests:
        if t in logins.TESTS and o.peer in (None, "submitd"):
            emit(logins.TESTS[t](reps, o.short))
        elif t in record.TESTS and o.peer in (None, "submitd"):
            emit(record.TESTS[t](reps, o.short))
    if "Q" in tests and o.peer in (None, "submitd"):
        emit(million.run(o.queue))
    sys.exit(1 if report(rows, tests) else 0)


if __name__ == "__main__":
    main()
