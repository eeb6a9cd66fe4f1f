# SPDX-License-Identifier: ISC
"""TAP for the end-to-end tests. A test is a function with a title that names the
requirements it serves; it passes unless it raises.

    @test("P2: bytes behind STARTTLS are never executed")
    def injection(s): ...

    run(fixture)        fixture: a context manager whose value each test gets

One test alone: tests/e2e/02-refuse.t WORD runs those whose title holds WORD.
"""
import contextlib
import signal
import sys
import time
import traceback

_tests = []


class Skip(Exception):
    """The test cannot run here: a peer or a right is missing."""


class TookTooLong(Exception):
    pass


def test(title, seconds=90):
    def add(function):
        _tests.append((title, seconds, function))
        return function
    return add


def skip(reason):
    raise Skip(reason)


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what or 'value'}: got {got!r}, wanted {want!r}")


def ok(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_for(condition, what, seconds=20, step=0.02):
    """Waits until condition() is true and gives its value; never for a fixed time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(step)


def diag(text):
    for line in str(text).rstrip("\n").split("\n"):
        print("# " + line, flush=True)


def _alarm(_signal, _frame):
    raise TookTooLong("the test took too long")


def _told(_signal, _frame):
    raise KeyboardInterrupt("told to end")


def _one(number, title, seconds, function, value):
    signal.alarm(seconds)
    try:
        function(value)
        print(f"ok {number} - {title}", flush=True)
        return True
    except Skip as reason:
        print(f"ok {number} - {title} # SKIP {reason}", flush=True)
        return True
    except BaseException as e:          # noqa: B902 - whatever it was, the test failed
        if isinstance(e, KeyboardInterrupt):
            raise
        signal.alarm(0)
        print(f"not ok {number} - {title}", flush=True)
        diag("".join(traceback.format_exception(e, limit=-4))[-3000:])
        if hasattr(value, "tell"):
            diag(value.tell())
        return False
    finally:
        signal.alarm(0)


def run(fixture=None):
    signal.signal(signal.SIGALRM, _alarm)
    for told in (signal.SIGTERM, signal.SIGHUP):    # the servers are ended, files removed
        signal.signal(told, _told)
    chosen = [t for t in _tests if len(sys.argv) < 2 or sys.argv[1] in t[0]]
    good = True
    number = 0
    fixture = fixture or contextlib.nullcontext
    try:
        signal.alarm(120)
        with fixture() as value:
            signal.alarm(0)
            for number, (title, seconds, function) in enumerate(chosen, 1):
                good = _one(number, title, seconds, function, value) and good
            signal.alarm(120)
        number += 1
        print(f"ok {number} - all processes ended well", flush=True)
    except Skip as reason:
        signal.alarm(0)
        print(f"1..0 # SKIP {reason}", flush=True)
        sys.exit(0)
    except BaseException as e:          # noqa: B902
        signal.alarm(0)
        number += 1
        good = False
        print(f"not ok {number} - start and end of the processes", flush=True)
        diag("".join(traceback.format_exception(e, limit=-4))[-3000:])
    signal.alarm(0)
    print(f"1..{number}", flush=True)
    sys.exit(0 if good else 1)
