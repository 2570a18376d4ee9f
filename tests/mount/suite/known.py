# SPDX-License-Identifier: BSD-3-Clause
"""
The differences between the mount and the bare host that are known and accepted: this list, and
nothing else.  Each has its reason, and is told with its count at the end of a run.
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
    """
    What a stand is: fs, world ('root', 'user', 'userns', 'keeper'), options of the daemon; cases:
    the world that the cases think they are in.
    """

    def __init__(self, fs, world, options=(), cases=None):
        self.fs, self.world, self.options = fs, world, tuple(options)
        self.cases = cases or world

    def has(self, option):
        return option in self.options


def _may_leave_suid_to_us(context):
    return not context.has("--no-killpriv-v2")


def _refuses_mappings(context):
    uncached = context.has("--cache=never") or context.has("--cache=metadata")
    return uncached and not context.has("--allow-mmap")


def _drops_sys_admin(context):
    return not context.has("--modcaps=+sys_admin")


def _keeps_attributes(context):
    return not context.has("--cache=never")


def _drops_linux_immutable(context):
    return not context.has("--modcaps=+linux_immutable")


def _keeps_owners(context):
    return context.has("--owner-xattr")


def _without_acl(context):
    return not any(option.startswith("--posix-acl") for option in context.options)


KNOWN = [
    Known("Linux's FUSE client keeps a file's attributes over a change of its flags (chattr): the new "
          "ctime shows when they expire",
          line=r"set, moved: | ctime=", case="flags_.*", when=_keeps_attributes),
    Known("immutable and append-only files need CAP_LINUX_IMMUTABLE in the daemon: "
          "--modcaps=+linux_immutable",
          line=r" immutable: EPERM$|^[fd] get: ", case="flags_immutable", when=_drops_linux_immutable),
    Known("project ids are how the host limits a share: a guest may not change them, as if it were in "
          "a user namespace",
          line=r"^(project|inherit): EINVAL$|^get: ", case="flags_project"),
    Known("--owner-xattr: a symbolic link cannot have a user xattr, so it is the guest's root's",
          line=r" symlink 0777 .* uid=(0 gid=0|65534 gid=65534) ", when=_keeps_owners),
    Known("--owner-xattr: without privileges the host takes no security.capability, unless "
          "--xattrmap makes a user xattr of it",
          line=r"", case=".*_capability.*", when=_keeps_owners),
    Known("without --posix-acl the client answers for system.posix_acl_* itself",
          line=r"^acl missing: ", case="xattr_name_spaces", when=_without_acl),
    Known("Linux's FUSE client refuses FALLOC_FL_COLLAPSE_RANGE and INSERT_RANGE by itself",
          line=r"^(collapse|insert|read 'f'|stat 'f'): |^b'f' ", case="fallocate_collapse_insert"),
    Known("S_ISGID without group execution, which gives no rights: it goes when somebody writes who is not "
          "in the file's group, and no request says who that is",
          line=r" (2767|6767|2745|6666|6745)( after [^:]*)?: |^(2767|2745|6666) after |^b'f' ",
          case="write_clears_suid(_of_others)?|killpriv_.*"),
    Known("with KILLPRIV_V2 no request says that fallocate and copy_file_range come from root: set-id "
          "bits go in any case",
          line=r"^(root )?(fallocate|copy) \d+: | after fallocate: ",
          case="write_clears_suid|killpriv_.*", when=_may_leave_suid_to_us),
    Known("with --writeback the guest's kernel keeps the times itself, and leaves them alone when a "
          "truncate keeps the size",
          line=r"^same size times, moved: ", case="setattr_truncate",
          when=lambda context: context.has("--writeback")),
    Known("no shared writable mappings without the guest's page cache, unless --allow-mmap",
          line=r"", case="mmap_shared|mmap_after_unlink_and_close|rw_direct_mapped",
          when=_refuses_mappings),
    Known("trusted.* needs CAP_SYS_ADMIN in the daemon: --modcaps=+sys_admin",
          line=r"trusted", case="xattr_trusted", when=_drops_sys_admin),
]


def accepted(context, case, expected, seen):
    """The entry that covers a difference, or None."""
    for entry in KNOWN:
        if entry.covers(context, case, expected, seen):
            entry.hits += 1
            return entry
    return None
