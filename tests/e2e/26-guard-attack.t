#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Ways round the brake against guessed passwords (A7) that are none."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

from daemon import USER
from guarded import LOCKED, RIGHT, WRONG, counted, guess, login, service
from tap import equal, ok, run, test


@test("A7 S57: no spelling of a name brings further guesses")
def spellings(_):
    with service() as s:
        for i, name in enumerate(("J\u00f6rg@example.com", "j\u00d6RG@example.com",
                                  "jo\u0308rg@EXAMPLE.com", "j\u00f6rg@example.com.",
                                  "J\u00d6\u00adRG@example.com..", "\uff2a\u00f6rg@example.com",
                                  "j\u00f6rg @example.com", "j\u00f6rg@e\u00adxample.com.")):
            guess(s, 1, name, proxy=f"198.51.{i}.1")
        equal(login(s, "J\u00f6rG@example.com", "x", proxy="203.0.113.1"), LOCKED)
        equal(len(counted(s, "user")), 1)
        # and any of them names him to the operator
        s.ctl("account", "clear", "JO\u0308RG@example.com.")
        equal(counted(s, "user"), [])
        equal(login(s, "J\u00f6rG@example.com", "x", proxy="203.0.113.1"), WRONG)
        for i, name in enumerate((USER, USER.upper(), USER + ".", USER.replace("@", " @"))):
            guess(s, 2, name, proxy=f"198.51.{i}.2")
        equal(login(s, proxy="203.0.113.1"), LOCKED)
        s.ctl("account", "clear", USER.upper() + ".")
        equal(login(s, proxy="203.0.113.1"), RIGHT)


run()
