#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Runs suites of tests and sums them up in one last line: N passed, N failed.

    run_tests.py unit:build/release unit:build/asan dialog:build/release e2e:build/release
                 e2e:build/asan corpus:build/asan kills:30 lint
    run_tests.py e2e:build/release 08-retry      only the files whose name holds a word

unit:BUILD    the programs BUILD/tests/unit/test_*, and tests/interop/*.t, which use them
dialog:BUILD  tests/dialog/*.t
e2e:BUILD     tests/e2e/*.t with BUILD/submitd; those that need a build with faults find it
corpus:BUILD  BUILD/tests/fuzz/replay_X on tests/fuzz/corpus/X
kills:N       tests/crash/kills.py N
lint          tests/lint/*.sh
Everything speaks TAP. What could not run is listed by name and not counted as passed.
No process outlives its test (keeper.py), and one that would is a failure of it.
JOBS: how many at once (cores + 1). With RESULTS=FILE "passed failed" is appended there.
"""
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEEPER = os.path.join(TOP, "tests/lib/keeper.py")
LIMIT_S = int(os.environ.get("TEST_LIMIT_S", "900"))


class Result:
    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0
        self.skipped, self.output, self.seconds = [], "", 0.0


def read_tap(result, output, status):
    planned = None
    for line in output.split("\n"):
        m = re.match(r"(not )?ok\b(.*)", line)
        if m and re.search(r"#\s*SKIP\b", m[2], re.I):
            result.skipped.append(m[2].strip())
        elif m and m[1]:
            result.failed += 1
        elif m:
            result.passed += 1
        elif line.startswith("1.."):
            plan = re.match(r"1\.\.(\d+)(?:\s*#\s*SKIP\s*(.*))?", line, re.I)
            planned = int(plan[1]) if plan else None
            if plan and plan[2] is not None:
                result.skipped.append("all: " + plan[2])
    seen = result.passed + result.failed + sum(not s.startswith("all:") for s in result.skipped)
    if result.failed == 0 and (status != 0 or planned is None or planned != seen):
        result.failed += 1
        result.output += f"\n{result.name}: status {status}, plan {planned}, {seen} seen\n"


def run_tap(name, command, env):
    result = Result(name)
    start = time.monotonic()
    p = subprocess.Popen([KEEPER, str(os.getpid()), *command], cwd=TOP, env=env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out = p.communicate(timeout=LIMIT_S)[0]
    except subprocess.TimeoutExpired:
        p.terminate()                   # it ends all that the test has started
        out = p.communicate()[0] + f"\nended after {LIMIT_S} s\n".encode()
    result.output = out.decode("utf-8", "replace")
    read_tap(result, result.output, p.returncode)
    result.seconds = time.monotonic() - start
    return result


def build_env(build):
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1")
    env["SUBMITD"] = os.path.join(TOP, build, "submitd")
    env["BUILD"] = build
    return env


def chosen(paths, words):
    return [p for p in paths if not words or any(w in os.path.basename(p) for w in words)]


def commands(suite, param, words):
    """[(name, command, environment)] of one suite."""
    if suite == "unit":
        sources = [os.path.basename(p)[:-2] for p in glob.glob(f"{TOP}/tests/unit/test_*.c")]
        programs = [f"{param}/tests/unit/{n}" for n in sorted(sources)]
        interop = chosen(sorted(glob.glob(f"{TOP}/tests/interop/*.t")), words)
        return [(p, [os.path.join(TOP, p)], build_env(param)) for p in chosen(programs, words)] + \
            [(f"{param}: interop/{os.path.basename(p)}", [p], build_env(param)) for p in interop]
    if suite in ("dialog", "e2e"):
        files = sorted(glob.glob(f"{TOP}/tests/{suite}/*.t"))
        return [(f"{param}: {suite}/{os.path.basename(p)}", [p], build_env(param))
                for p in chosen(files, words)]
    if suite == "corpus":
        found = sorted(glob.glob(f"{TOP}/tests/fuzz/fuzz_*.c"))
        stems = [os.path.basename(p)[5:-2] for p in chosen(found, words)]
        return [(f"{param}: corpus {s}", [sys.executable, __file__, "--replay", param, s],
                 build_env(param)) for s in stems]
    if suite == "kills":
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        return [(f"crash: {param} kills", [f"{TOP}/tests/crash/kills.py", "--tap", param], env)]
    if suite == "lint":
        files = chosen(sorted(glob.glob(f"{TOP}/tests/lint/*.sh")), words)
        return [(f"lint/{os.path.basename(p)}", [p, "--tap"], dict(os.environ)) for p in files]
    sys.exit(f"run_tests.py: unknown suite {suite}\n{__doc__}")


def replay(build, stem):
    """One corpus as TAP: the target must take each file and end with 0."""
    program = os.path.join(TOP, build, "tests/fuzz", "replay_" + stem)
    files = sorted(glob.glob(f"{TOP}/tests/fuzz/corpus/{stem}/*"))
    if not os.path.exists(program):
        print(f"not ok 1 - {program} was not built\n1..1")
        return 1
    bad = 0
    r = subprocess.run([program, *files], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=300)
    if r.returncode:
        for number, path in enumerate(files, 1):    # which one was it?
            r = subprocess.run([program, path], stdin=subprocess.DEVNULL, capture_output=True,
                               timeout=60)
            bad += r.returncode != 0
            print(f"{'not ok' if r.returncode else 'ok'} {number} - {path}")
            if r.returncode:
                print("# " + r.stderr.decode("utf-8", "replace")[-2000:].replace("\n", "\n# "))
        print(f"1..{len(files)}")
        return 1 if bad else 0
    print(f"ok 1 - {len(files)} inputs of {stem}\n1..1")
    return 0


def show(result):
    text = f"{result.passed} passed"
    if result.failed:
        text += f", {result.failed} FAILED"
    if result.skipped:
        text += f", {len(result.skipped)} skipped"
    print(f"{'not ok' if result.failed else 'ok    '}  {result.name}: {text} "
          f"({result.seconds:.1f} s)", flush=True)
    if result.failed:
        print("        " + result.output.rstrip().replace("\n", "\n        "), flush=True)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--replay":
        sys.exit(replay(sys.argv[2], sys.argv[3]))
    suites = [a for a in sys.argv[1:] if ":" in a or a == "lint"]
    words = [a for a in sys.argv[1:] if a not in suites]
    if not suites:
        sys.exit(__doc__)
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # at once: the keepers end what runs
    os.chdir(TOP)
    jobs = int(os.environ.get("JOBS", (os.cpu_count() or 1) + 1))   # most of them wait
    results = []
    for s in suites:
        suite, _, param = s.partition(":")
        work = commands(suite, param, words)
        at_once = 1 if suite == "kills" else jobs
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for r in pool.map(lambda w: run_tap(*w), work):
                show(r)
                results.append(r)
    if not results:
        sys.exit("run_tests.py: no test was found")
    skipped = [(r.name, s) for r in results for s in r.skipped]
    if skipped:
        print("\nnot run here:")
        for name, what in skipped:
            print(f"    {name}: {what}")
    failed = [r for r in results if r.failed]
    if failed:
        print("\nfailed:")
        for r in failed:
            print(f"    {r.name}")
    passed, bad = sum(r.passed for r in results), sum(r.failed for r in results)
    if os.environ.get("RESULTS"):
        with open(os.environ["RESULTS"], "a") as f:
            f.write(f"{passed} {bad}\n")
    print(f"{passed} passed, {bad} failed")
    sys.exit(1 if bad else 0)


main()
