# SPDX-License-Identifier: BSD-3-Clause
"""Trees as lines, and the difference of two lists of lines."""
import difflib
import hashlib
import os
import stat

from . import syscalls
from .recorder import describe


def _content(path, st):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        hasher = hashlib.sha256()
        left = min(st.st_size, 64 << 20)
        while left > 0:
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                break
            hasher.update(chunk)
            left -= len(chunk)
        return hasher.hexdigest()[:16]
    finally:
        os.close(fd)


def _xattrs(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    pairs = []
    for name in names:
        # The host's policy's; and where XFS keeps ACLs, which it shows to root besides.
        if name.startswith(("security.selinux", "trusted.SGI_ACL_")):
            continue
        value = os.getxattr(path, name, follow_symlinks=False)
        pairs.append(f"{name}={hashlib.sha256(value).hexdigest()[:8]}/{len(value)}")
    return " ".join(pairs)


def _attempt(function, *args):
    try:
        return function(*args)
    except OSError as error:
        return syscalls.errno_name(error.errno)


# What two views of the same files have to agree in. Not blocks: the host gives them when it likes,
# behind cached attributes.
EXACT = frozenset(("ino", "mtime", "ctime"))


def views(root, exact):
    """
    Two lists with one line per file below root, in order; the second tells more.  exact: of EXACT, what that is.
    """
    lines, more = [], []

    def tell(line, rest=""):
        lines.append(line)
        more.append(line + rest)

    pending = [b""]
    root = os.fsencode(root)
    while pending:
        relative = pending.pop()
        path = os.path.join(root, relative) if relative else root
        st = _attempt(os.lstat, path)
        if isinstance(st, str):
            tell(f"{relative!r} {st}")
            continue
        line = f"{relative!r} {describe(st)}"
        if stat.S_ISREG(st.st_mode):
            line += f" content={_attempt(_content, path, st)}"
        if stat.S_ISLNK(st.st_mode):
            line += f" -> {_attempt(os.readlink, path)!r}"
        xattrs = _attempt(_xattrs, path)
        if xattrs:
            line += f" xattrs={xattrs}"
        numbers = {"ino": st.st_ino, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}
        tell(line, "".join(f" {name}={numbers[name]}" for name in sorted(exact)))
        if stat.S_ISDIR(st.st_mode):
            names = _attempt(os.listdir, path)
            if isinstance(names, str):
                tell(f"{relative!r}/ {names}")
            else:
                pending += [os.path.join(relative, name) for name in sorted(names, reverse=True)]
    return lines, more


def tree(root, exact=frozenset()):
    """The second of these lists."""
    return views(root, exact)[1]


def differences(expected, seen):
    """Pairs (expected line or None, seen line or None)."""
    if expected == seen:
        return []
    matcher = difflib.SequenceMatcher(None, expected, seen, autojunk=False)
    pairs = []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(a1 - a0, b1 - b0)):
            pairs.append((expected[a0 + i] if a0 + i < a1 else None,
                          seen[b0 + i] if b0 + i < b1 else None))
    return pairs
