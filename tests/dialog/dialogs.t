#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Every tests/dialog/*.smtp against a running submitd; one service per set of blocks."""
import glob
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
from daemon import Service
from dialog import Dialog
from nexthop import NextHop
from tap import Skip, diag


def play(service, d):
    port = {"submission": service.port, "submissions": service.port465, "mx": service.port25}
    d.run("127.0.0.1", port[d.listener], d.listener == "submissions")


def main():
    words = sys.argv[1:]
    dialogs = [Dialog(p) for p in sorted(glob.glob(f"{HERE}/*.smtp"))]
    dialogs = [d for d in dialogs if not words or any(w in d.path for w in words)]
    groups, number, bad = {}, 0, 0
    for d in dialogs:
        groups.setdefault(tuple(sorted(d.blocks.items())), []).append(d)
    for blocks, members in groups.items():
        try:
            with NextHop() as hop, Service(blocks=dict(blocks), next_port=hop.port) as s:
                for d in members:
                    number += 1
                    try:
                        play(s, d)
                        print(f"ok {number} - {d.title}", flush=True)
                    except (AssertionError, OSError) as e:
                        bad += 1
                        print(f"not ok {number} - {d.title}", flush=True)
                        diag(e)
        except Skip as e:
            print(f"1..0 # SKIP {e}")
            return 0
        except AssertionError as e:
            number, bad = number + 1, bad + 1
            print(f"not ok {number} - the service ends well", flush=True)
            diag(e)
    print(f"1..{number}")
    return 1 if bad else 0


sys.exit(main())
