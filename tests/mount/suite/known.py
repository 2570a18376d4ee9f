# SPDX-License-Identifier: BSD-3-Clause
"""
The differences between the mount and the bare host that are known and accepted: this list, and
nothing else.  Each has its reason.  An entry that no longer matches anything is reported.
"""
import re


class Known:
    def __init__(self, reason, line, case=".*", when=None):
        """
        line: a pattern that has to be found in the expected or in the seen line of a difference.
        case: of the case's name.  when: a predicate of the Context.
        """
        self.reason = reason
        self.line = re.compile(line)
        self.case = re.compile(case)
        self.when = when or (lambda context: True)
        self.hits = 0

    def covers(self, context, case, expected, seen):
        if not self.case.fullmatch(case) or not self.when(context):
            return False
        return any(line is not None and self.line.search(line) for line in (expected, seen))


class Context:
    """What a stand is: fs, world ('root', 'user', 'userns'), options of the daemon."""

    def __init__(self, fs, world, options=()):
        self.fs, self.world, self.options = fs, world, tuple(options)

    def has(self, option):
        return option in self.options


KNOWN = [
    Known("O_TMPFILE: the TMPFILE operation comes with the issue on semantics",
          line=r"tmpfile", case="open_tmpfile"),
]


def accepted(context, case, expected, seen):
    """The entry that covers a difference, or None."""
    for entry in KNOWN:
        if entry.covers(context, case, expected, seen):
            entry.hits += 1
            return entry
    return None
