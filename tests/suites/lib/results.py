# SPDX-License-Identifier: BSD-3-Clause
"""
Results of one suite in one place: {test: (status, detail)}.  A test that is not there did not run.
"""
import json

PASS, FAIL, SKIP = "pass", "fail", "skip"


def count(results, status):
    return sum(1 for got, _ in results.values() if got == status)


def worse(expected, seen):
    """[(test, detail)] of what passes in `expected` and fails, or is missing, in `seen`."""
    out = []
    for name, (status, _) in sorted(expected.items()):
        got, detail = seen.get(name, (FAIL, "did not run"))
        if status == PASS and got == FAIL:
            out.append((name, detail))
    return out


def not_run(expected, seen):
    """[(test, reason)] of what passes in `expected` and says of itself in `seen` that it cannot run."""
    return [(name, seen[name][1]) for name, (status, _) in sorted(expected.items())
            if status == PASS and seen.get(name, ("",))[0] == SKIP]


def save(path, results):
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(results, stream, indent=0, sort_keys=True)


def load(path):
    with open(path, encoding="utf-8") as stream:
        return {name: tuple(value) for name, value in json.load(stream).items()}
