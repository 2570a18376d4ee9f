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


KNOWN = [
    Known("access times are the host's: whatever atime words the guest mounts with, the host decides",
          [r"xfstests generic/(003|120|192)"]),
    Known("xfstests takes for granted that a FUSE mount has room for more attributes than ext4 has",
          [r"xfstests generic/020"], when=lambda setting: setting.fs == "ext4"),
    Known("open_by_handle_at() of what the guest's kernel has forgotten, or before a remount: FUSE's "
          "file handles are node ids, which end with FORGET",
          [r"xfstests generic/(426|467|477|756|777)"]),
    Known("set-id bits at fallocate(): no request says whether the caller is in the file's group, nor, where "
          "the guest may map ids, whether it is root",
          [r"xfstests generic/(683|684|685)"]),
    Known("xfstests leaves a setfattr running while it unmounts, and shows what it says then",
          [r"xfstests generic/037"]),
    Known("the time of change after chattr: Linux's FUSE client keeps the attributes that it has over "
          "FS_IOC_SETFLAGS, for as long as it may cache them",
          [r"xfstests generic/277"], when=lambda setting: setting.cache != "never"),
    Known("Linux's FUSE client takes cached pages away before an asynchronous direct write, and not after it: "
          "what a buffered read fetches in between stays for as long as data may be cached",
          [r"xfstests generic/451"], when=lambda setting: setting.cache == "always"),
    Known("Linux's FUSE client shows no attributes (append, immutable, nodump) in statx()",
          [r"xfstests generic/424"]),
]

assert len(KNOWN) <= MOST


def accepted(setting, suite, test):
    """The entry that covers a failure, or None."""
    for entry in KNOWN:
        if entry.covers(setting, suite, test):
            entry.hits.add(f"{suite} {test}")
            return entry
    return None
