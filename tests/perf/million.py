# SPDX-License-Identifier: ISC
"""A million waiting messages: how fast mail is still taken, how soon the next due ones are
found, how long a restart takes, and what the queue process weighs."""
import os
import re
import time

from daemon import Sink, load
from measure import Submitd


def pss_of(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1]) / 1024


def rate(s, n):
    r = load(s, connections=50, messages=n, per_connection=100, size=2048, threads=2, timeout=60)
    return r["per_s"]


def run(n):
    """The queue waits for a transport that is paused; another one delivers."""
    server = Submitd()
    s = server.s
    s.blocks["extra"] = ('transport "held" { method = static  hosts = {"127.0.0.1:9"}  '
                         'paused = true }\ndomain "held.example" { transport = "held" }')
    s.write_conf()
    result = {"test": "Q", "peer": "submitd", "waiting": n}
    with server, Sink(s.dir, port=s.next) as sink:
        result["empty_per_s"] = rate(s, 20000)
        start = time.monotonic()
        load(s, connections=50, messages=n, per_connection=1000, size=2048, threads=2,
             timeout=120, to_domain="held.example")
        result["fill_s"] = round(time.monotonic() - start, 1)
        result["full_per_s"] = rate(s, 20000)
        result["queue_pss_mib"] = round(pss_of(s.roles()["queue"][0]), 1)
        before = sink.stats()["messages"]
        start = time.monotonic()
        load(s, connections=1, messages=100, per_connection=100, size=500)
        while sink.stats()["messages"] < before + 100 and time.monotonic() < start + 30:
            time.sleep(0.001)
        result["hundred_ms"] = round((time.monotonic() - start) * 1000, 1)
        sink.stop()
        load(s, connections=1, messages=5, size=500)        # these wait for the restart
        s.kill_all()
        sink.start()
        before, start = sink.stats()["messages"], time.monotonic()
        s.start()
        s.run_ctl("queue", "retry", "--transport", "outside")   # not the destination's backoff
        while sink.stats()["messages"] <= before and time.monotonic() < start + 120:
            time.sleep(0.002)
        result["restart_s"] = round(time.monotonic() - start, 2)
        result["spool_mib"] = round(sum(os.path.getsize(os.path.join(d, f))
                                        for d, _, fs in os.walk(s.dir + "/spool")
                                        for f in fs) / 1048576)
    return result


def show(r):
    """Prints the figures; gives what missed its bar."""
    print(f"\nwith {r['waiting']} waiting: accept {r['full_per_s']}/s "
          f"({r['empty_per_s']}/s empty), "
          f"100 messages through in {r['hundred_ms']} ms, restart to first delivery "
          f"{r['restart_s']} s, queue role {r['queue_pss_mib']} MiB, spool {r['spool_mib']} MiB")
    missed = []
    if r["full_per_s"] < 0.9 * r["empty_per_s"]:
        missed.append(f"Q: accept rate {r['full_per_s']} < 90 % of {r['empty_per_s']}")
    if r["restart_s"] > 2:
        missed.append(f"Q: restart {r['restart_s']} s > 2 s")
    if r["queue_pss_mib"] > 200:
        missed.append(f"Q: {r['queue_pss_mib']} MiB > 200")
    return missed
