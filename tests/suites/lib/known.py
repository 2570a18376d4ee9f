# SPDX-License-Identifier: BSD-3-Clause
"""
What fails on the mount, passes on the host, and is accepted: at most ten reasons, and nothing else.
"""
import re

MOST = 10


class Known:
    def __init__(self, reason, tests, when=None):
        """
        tests: patterns of "suite test", any of which has to match whole.
        when: a predicate of the Setting.
        """
        self.reason = reason
        self.tests = re.compile("|".join(f"(?:{test})" for test in tests))
        self.when = when or (lambda setting: True)
        self.hits = set()

    def covers(self, setting, suite, test):
        return bool(self.tests.fullmatch(f"{suite} {test}")) and self.when(setting)


class Setting:
    """What the tests ran against."""

    def __init__(self, fs, world, cache, options):
        self.fs, self.world, self.cache, self.options = fs, world, cache, tuple(options)

    def __str__(self):
        return f"{self.fs} {self.world} cache={self.cache}"


KNOWN = []

assert len(KNOWN) <= MOST


def accepted(setting, suite, test):
    """The entry that covers a failure, or None."""
    for entry in KNOWN:
        if entry.covers(setting, suite, test):
            entry.hits.add(f"{suite} {test}")
            return entry
    return None
