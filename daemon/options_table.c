// SPDX-License-Identifier: BSD-3-Clause
#include "options_table.h"

#include <stddef.h>
#include <string.h>

#include "dax_mapper.h"
#include "scope.h"

#define FIELD(name) .offset = offsetof(struct settings, name)

const char *const option_sections[SECTION_COUNT] = {
    [SECTION_SHARE] = "What is shared, and with whom",
    [SECTION_FS] = "File system",
    [SECTION_DAX] = "DAX",
    [SECTION_SANDBOX] = "Sandbox",
    [SECTION_THREADS] = "Queues and threads",
    [SECTION_LOG] = "Log",
    [SECTION_INFO] = "Information",
    [SECTION_COMPAT] = "Compatibility",
    [SECTION_LATER] = "Known, but not there yet",
};

static const struct option_choice cache_choices[] = {
    {"auto", CACHE_AUTO, false},
    {"always", CACHE_ALWAYS, false},
    {"never", CACHE_NEVER, false},
    {"metadata", CACHE_METADATA, false},
    {NULL, 0, false},
};

static const struct option_choice sandbox_choices[] = {
    {"namespace", SANDBOX_NAMESPACE, false},
    {"chroot", SANDBOX_CHROOT, false},
    {"none", SANDBOX_NONE, false},
    {NULL, 0, false},
};

static const struct option_choice seccomp_choices[] = {
    {"kill", SECCOMP_KILL, false},
    {"log", SECCOMP_LOG, false},
    {"trap", SECCOMP_TRAP, false},
    {"none", SECCOMP_NONE, false},
    {NULL, 0, false},
};

static const struct option_choice file_handles_choices[] = {
    {"never", FILE_HANDLES_NEVER, false},
    {"prefer", FILE_HANDLES_PREFER, false},
    {"mandatory", FILE_HANDLES_MANDATORY, false},
    {"fallback", FILE_HANDLES_PREFER, true},
    {NULL, 0, false},
};

static const struct option_choice feature_choices[] = {
    {"never", FEATURE_NEVER, false},
    {"auto", FEATURE_AUTO, false},
    {"always", FEATURE_ALWAYS, false},
    {NULL, 0, false},
};

static const struct option_choice dax_choices[] = {
    {"auto", DAX_AUTO, false},
    {"always", DAX_ALWAYS, false},
    {"never", DAX_NEVER, false},
    {NULL, 0, false},
};

static const struct option_choice dax_protocol_choices[] = {
    {"auto", DAX_PROTOCOL_AUTO, false},
    {"shmem", DAX_PROTOCOL_SHMEM, false},
    {"fs-map", DAX_PROTOCOL_FS_MAP, false},
    {NULL, 0, false},
};

static const struct option_choice log_level_choices[] = {
    {"error", LOG_LEVEL_ERROR, false},
    {"warn", LOG_LEVEL_WARN, false},
    {"info", LOG_LEVEL_INFO, false},
    {"debug", LOG_LEVEL_DEBUG, false},
    {"trace", LOG_LEVEL_TRACE, false},
    {"off", LOG_LEVEL_OFF, false},
    {NULL, 0, false},
};

static const struct option_choice migration_mode_choices[] = {
    {"find-paths", 0, false},
    {"file-handles", 0, false},
    {NULL, 0, false},
};

static const struct option_choice migration_on_error_choices[] = {
    {"abort", 0, false},
    {"guest-error", 0, false},
    {NULL, 0, false},
};

const struct option_row option_rows[] = {
    /* What is shared, and with whom. */
    {
        .name = "shared-dir",
        .section = SECTION_SHARE,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "directory",
        .apply = apply_string,
        FIELD(shared_dir),
        .help = "The directory that the guest sees. Required.",
    },
    {
        .name = "socket-path",
        .section = SECTION_SHARE,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "path",
        .apply = apply_string,
        FIELD(socket_path),
        .help = "The UNIX socket to make and to listen on. A stale one is replaced. The process id "
                "is written to path.pid, which stays locked while the daemon lives.",
    },
    {
        .name = "socket-group",
        .section = SECTION_SHARE,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "group",
        .apply = apply_string,
        FIELD(socket_group),
        .help = "The group that may connect to the socket as well as its owner.",
    },
    {
        .name = "fd",
        .section = SECTION_SHARE,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "number",
        .apply = apply_fd,
        FIELD(listen_fd),
        .help = "An inherited descriptor of a listening UNIX socket, instead of --socket-path. "
                "With neither, the socket of a systemd socket unit (LISTEN_FDS) is taken.",
    },
    {
        .name = "tag",
        .section = SECTION_SHARE,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "name",
        .apply = apply_tag,
        FIELD(tag),
        .help = "The name by which the guest mounts the share, 1 to 36 bytes. Only for VMMs that "
                "take the device's configuration from here; others have an option of their own.",
    },
    {
        .name = "persistent",
        .section = SECTION_SHARE,
        .apply = apply_flag,
        FIELD(persistent),
        .flag = true,
        .help = "Listen again after the VMM has left, with a clean session, instead of ending.",
    },

    /* File system. */
    {
        .name = "cache",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "policy",
        .default_text = "auto",
        .apply = apply_choice,
        FIELD(cache),
        .choices = cache_choices,
        .help = "How much the guest may keep. never: nothing, data bypasses its page cache. "
                "metadata: names and attributes, no data. auto: both, for a short time and while a "
                "file is open. always: both, without asking again, for a share that nobody else "
                "changes.",
    },
    {
        .name = "attr-timeout",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "seconds",
        .default_text = "by --cache: never 0, auto 1, always and metadata 86400",
        .apply = apply_seconds,
        FIELD(attr_timeout),
        .max = UINT32_MAX,
        .help =
            "How long the guest may take the attributes of a file for true without asking again: "
            "seconds, also with a fraction, as in 0.5.",
    },
    {
        .name = "entry-timeout",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "seconds",
        .default_text = "the same",
        .apply = apply_seconds,
        FIELD(entry_timeout),
        .max = UINT32_MAX,
        .help = "How long a name may be taken to lead to the same file.",
    },
    {
        .name = "negative-timeout",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "seconds",
        .default_text = "0; with --cache=always 1",
        .apply = apply_seconds,
        FIELD(negative_timeout),
        .max = UINT32_MAX,
        .help =
            "How long a name may be taken to lead to nothing. What the host adds meanwhile is not "
            "seen; what the guest itself adds is.",
    },
    {
        .name = "no-open",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(no_open),
        .flag = true,
        .help = "With --cache=always: the guest uses files and directories without telling when it "
                "opens and closes them, as far as its own programs cannot see the difference. Only "
                "for a share that nobody else changes: what the host removes is gone for those who "
                "have it open, too.",
    },
    {
        .name = "inode-file-handles",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "when",
        .default_text = "prefer",
        .apply = apply_choice,
        FIELD(file_handles),
        .choices = file_handles_choices,
        .help = "How files that the guest knows are remembered. never: each by an open "
                "descriptor. prefer: by a file handle where the file system has them and we may "
                "use them. mandatory: by a file handle, or not at all.",
    },
    {
        .name = "xattr",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(xattr),
        .flag = true,
        .help = "Let the guest read and write extended attributes.",
    },
    {
        .name = "xattrmap",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "rules",
        .apply = apply_xattrmap,
        .help = "Give extended attributes other names on the host, and hide or refuse some. Turns "
                "--xattr on. A rule is :type:scope:key:prepend: with any character for the colon; "
                "white space may stand between rules, and the first that matches decides. scope: "
                "client for names that the guest uses, which match if they begin with key; server "
                "for names that the host lists, which match if they begin with prepend; all for "
                "both. type: prefix puts prepend before the guest's name, and takes it away again; "
                "ok leaves the name alone; bad refuses (EPERM) and hides it; unsupported refuses "
                "(EOPNOTSUPP) and hides it. :map:key:prepend:, as the last rule, renames what "
                "begins with key, and keeps the guest from the new names. What no rule matches is "
                "refused and hidden.",
    },
    {
        .name = "xattr-preset",
        .section = SECTION_FS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "name,...",
        .apply = apply_xattr_preset,
        .help = "Rules that come before those of --xattrmap, for attributes that need privileges "
                "on the host and get user.virtiofs. before their names instead. Turns --xattr on. "
                "overlay: trusted.overlay.*, for an overlayfs of the guest with its upper layer "
                "on the share. selinux: security.selinux, the guest's labels.",
    },
    {
        .name = "posix-acl",
        .section = SECTION_FS,
        .argument = ARGUMENT_OPTIONAL,
        .metavar = "when",
        .default_text = "never; without a value always",
        .apply = apply_feature,
        FIELD(posix_acl),
        .choices = feature_choices,
        .help =
            "Let the guest use POSIX access control lists: its kernel follows and sets them, new "
            "files inherit those of their directory. Turns --xattr on. auto: if the share's "
            "file system has them and the guest can. always: or else nothing is served.",
    },
    {
        .name = "security-label",
        .section = SECTION_FS,
        .argument = ARGUMENT_OPTIONAL,
        .metavar = "when",
        .default_text = "never; without a value always",
        .apply = apply_feature,
        FIELD(security_label),
        .choices = feature_choices,
        .help = "Take the labels that a guest with SELinux or the like has for new files, and set "
                "them in the same request. Turns --xattr on. auto: if the guest has such labels; a "
                "file that cannot have one on the host is made without. always: a guest without "
                "them is not served, and such a file not made. See --xattr-preset=selinux.",
    },
    {
        .name = "readonly",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(readonly),
        .flag = true,
        .help = "The guest cannot change anything, whatever it tries.",
    },
    {
        .name = "announce-submounts",
        .section = SECTION_FS,
        .default_text = "on",
        .apply = apply_flag,
        FIELD(announce_submounts),
        .flag = true,
        .help = "Tell the guest which directories are mount points, so that files of different "
                "file systems keep different device numbers.",
    },
    {
        .name = "no-announce-submounts",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(announce_submounts),
        .flag = false,
        .help = "The share looks like one file system.",
    },
    {
        .name = "no-readdirplus",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(readdirplus),
        .flag = false,
        .help = "List directories by name only, without the attributes of their entries.",
    },
    {
        .name = "writeback",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(writeback),
        .flag = true,
        .help = "Let the guest collect written data in its page cache. Only for a share that "
                "nobody else changes.",
    },
    {
        .name = "allow-direct-io",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(allow_direct_io),
        .flag = true,
        .help = "Open a file with O_DIRECT on the host when the guest does; else the flag is "
                "dropped.",
    },
    {
        .name = "allow-mmap",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(allow_mmap),
        .flag = true,
        .help = "With --cache=never or metadata: let the guest map files shared. Only for a share "
                "that nobody else changes.",
    },
    {
        .name = "killpriv-v2",
        .section = SECTION_FS,
        .default_text = "on for guests from Linux 6.12 on",
        .apply = apply_feature_flag,
        FIELD(killpriv_v2),
        .flag = true,
        .help = "Leave it to the host to clear the set-user-id and set-group-id bits and file "
                "capabilities when a file is written, truncated or given away. Later guests do not "
                "say who writes, and have it anyway unless it is switched off.",
    },
    {
        .name = "no-killpriv-v2",
        .section = SECTION_FS,
        .default_text = "on for older guests",
        .apply = apply_feature_flag,
        FIELD(killpriv_v2),
        .flag = false,
        .help =
            "Leave that to the guest. Linux forgets it for data that bypasses the guest's cache, "
            "as with --cache=never.",
    },
    {
        .name = "preserve-noatime",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(preserve_noatime),
        .flag = true,
        .help = "Pass the guest's O_NOATIME on to the host, which may refuse it to an ordinary "
                "user; else the flag is dropped.",
    },

    {
        .name = "posix-lock",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(posix_lock),
        .flag = true,
        .help = "Make the guest's record locks (fcntl, lockf) locks of the host's files, so that "
                "they hold against the host and other guests.",
    },
    {
        .name = "no-posix-lock",
        .section = SECTION_FS,
        .default_text = "on",
        .apply = apply_flag,
        FIELD(posix_lock),
        .flag = false,
        .help = "Record locks hold within the guest only.",
    },
    {
        .name = "flock",
        .section = SECTION_FS,
        .apply = apply_flag,
        FIELD(flock),
        .flag = true,
        .help = "The same for flock().",
    },
    {
        .name = "no-flock",
        .section = SECTION_FS,
        .default_text = "on",
        .apply = apply_flag,
        FIELD(flock),
        .flag = false,
        .help = "flock() holds within the guest only.",
    },

    /* DAX. */
    {
        .name = "dax-window",
        .section = SECTION_DAX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "size",
        .default_text = "none",
        .apply = apply_power_of_two,
        FIELD(dax_window),
        .min = DAX_RANGE_SIZE,
        .max = DAX_WINDOW_MAX,
        .help = "Offer a window of this size, through which the guest maps the host's own copy of "
                "files into its memory: a power of two from 2M to 64G. It costs addresses; memory "
                "only for the ends of files, under a VMM that maps whole pages of them. A guest "
                "that works on more than fits in is slower than without. "
                "Needs a VMM that takes it, and --tag for one that takes it by SHMEM.",
    },
    {
        .name = "dax",
        .section = SECTION_DAX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "which",
        .default_text = "auto",
        .apply = apply_choice,
        FIELD(dax),
        .choices = dax_choices,
        .help = "The files that a guest mounted with dax=inode, its default, is told to use the "
                "window for. auto: those that gain by it, for their size, and can be mapped to "
                "their end. always: all. never: none; dax=always in the guest still works.",
    },
    {
        .name = "dax-min-size",
        .section = SECTION_DAX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "size",
        .default_text = "256K",
        .apply = apply_size,
        FIELD(dax_min_size),
        .max = UINT64_C(1) << 40,
        .help = "With --dax=auto: smaller files are read and written as usual.",
    },
    {
        .name = "dax-protocol",
        .section = SECTION_DAX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "which",
        .default_text = "auto",
        .apply = apply_choice,
        FIELD(dax_protocol),
        .choices = dax_protocol_choices,
        .help = "How the VMM is asked to map. shmem: by the vhost-user messages SHMEM_MAP and "
                "SHMEM_UNMAP (QEMU from 11, crosvm). fs-map: by the older FS_MAP and FS_UNMAP, "
                "which were never standardised. auto: by what the VMM has negotiated.",
    },

    /* Sandbox. */
    {
        .name = "sandbox",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "mode",
        .default_text = "namespace",
        .apply = apply_choice,
        FIELD(sandbox),
        .choices = sandbox_choices,
        .help = "What the daemon still sees of the host. namespace: only the shared directory, in "
                "mount, pid, network, IPC and UTS namespaces of its own, and in a user namespace "
                "when not started as root. chroot: only the shared directory, for containers; "
                "needs CAP_SYS_CHROOT. none: everything.",
    },
    {
        .name = "seccomp",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "action",
        .default_text = "kill",
        .apply = apply_choice,
        FIELD(seccomp),
        .choices = seccomp_choices,
        .help = "What a system call leads to that the daemon has no need of. kill: the daemon's "
                "end. log: a line in the audit log. trap: the signal SIGSYS, for debuggers. none: "
                "nothing, there is no filter.",
    },
    {
        .name = "modcaps",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "list",
        .apply = apply_modcaps,
        .help = "Keep (+) or drop (-) further capabilities, for example +sys_admin:-mknod. Kept by "
                "default, as far as the daemon was started with them: chown, dac_override, fowner, "
                "fsetid, setgid, setuid, mknod, setfcap, and dac_read_search unless "
                "--inode-file-handles=never. With +linux_immutable the guest's root may make files "
                "immutable or append-only (chattr +i, +a); with +sys_admin it may have trusted.* "
                "attributes.",
    },
    {
        .name = "rlimit-nofile",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "count",
        .default_text = "1000000, or less where the system wants less",
        .apply = apply_rlimit,
        .max = INT32_MAX,
        .help = "The limit of open files; 0 leaves it alone.",
    },
    {
        .name = "uid-map",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = ":inside:outside:count:",
        .apply = apply_id_map,
        FIELD(uid_maps),
        .help = "Run in a user namespace where count user ids from inside stand for those from "
                "outside on the host. May be given several times. Ranges that are not the caller's "
                "own id need newuidmap and an entry in /etc/subuid. An ordinary user who gives "
                "none gets only the own id, unchanged.",
    },
    {
        .name = "gid-map",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = ":inside:outside:count:",
        .apply = apply_id_map,
        FIELD(gid_maps),
        .help = "The same for group ids, with newgidmap and /etc/subgid.",
    },
    {
        .name = "translate-uid",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "rule",
        .apply = apply_id_rule,
        FIELD(translate_uid),
        .help =
            "Let user ids differ between guest and host, without a user namespace. May be "
            "given several times; ids that no rule is about are the same on both sides. "
            "guest:GUEST:HOST:COUNT: what the guest gives to COUNT ids from GUEST on belongs to "
            "those from HOST on. host:HOST:GUEST:COUNT: what belongs to COUNT ids from HOST on "
            "is shown as of those from GUEST on. map:GUEST:HOST:COUNT: both. "
            "squash-guest:GUEST:HOST:COUNT and squash-host:HOST:GUEST:COUNT: all of the range "
            "become the one id. forbid-guest:GUEST:COUNT: the guest may give nothing to these "
            "ids (EPERM). For each direction an id is in one rule at most. POSIX ACLs are "
            "translated, too.",
    },
    {
        .name = "translate-gid",
        .section = SECTION_SANDBOX,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "rule",
        .apply = apply_id_rule,
        FIELD(translate_gid),
        .help = "The same for group ids.",
    },
    {
        .name = "owner-xattr",
        .section = SECTION_SANDBOX,
        .apply = apply_flag,
        FIELD(owner_xattr),
        .flag = true,
        .help = "For a daemon that may not give files away: every file stays its own on the host, "
                "and what the guest makes of owner, mode and kind of file is kept in the xattr "
                "user.containers.override_stat, as podman and fuse-overlayfs have it. FIFOs, "
                "sockets and devices are empty files on the host; links are the guest's root's.",
    },

    /* Queues and threads. */
    {
        .name = "thread-pool-size",
        .section = SECTION_THREADS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "count",
        .default_text = "64",
        .apply = apply_unsigned,
        FIELD(thread_pool_size),
        .max = UINT32_MAX,
        .help = "The most threads beyond the one that each queue has. They are made when a request "
                "is stuck in the host and others wait behind it, and end when they are not "
                "needed. 0: a slow request delays its queue. More than 256 count as 256.",
    },
    {
        .name = "poll-us",
        .section = SECTION_THREADS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "microseconds",
        .default_text = "auto",
        .apply = apply_poll_us,
        FIELD(poll_us),
        .max = POLL_US_MAX,
        .help = "How long a queue's thread looks for the next request before it sleeps, 0 to "
                "10000. A processor for each request queue is then busy for as long after each "
                "request, and the guest is answered without waking anybody up. auto: 100, but only "
                "while "
                "the guest looks for replies itself instead of sleeping, and mostly asks again so "
                "soon.",
    },
    {
        .name = "request-queues",
        .section = SECTION_THREADS,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "count",
        .default_text = "63; with --tag 1",
        .apply = apply_unsigned,
        FIELD(request_queues),
        .min = 1,
        .max = REQUEST_QUEUES_MAX,
        .help = "The most request queues that the device has, 1 to 63; each has a thread of its "
                "own. The VMM says how many of them it uses, but with --tag it is this number that "
                "the guest is told: make them equal.",
    },

    /* Log. */
    {
        .name = "log-level",
        .section = SECTION_LOG,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "level",
        .default_text = "info",
        .apply = apply_choice,
        FIELD(log_level),
        .choices = log_level_choices,
        .help = "How much is told on stderr or to syslog. On stderr the environment variable "
                "RUST_LOG has precedence.",
    },
    {
        .name = "syslog",
        .section = SECTION_LOG,
        .apply = apply_flag,
        FIELD(syslog),
        .flag = true,
        .help = "Log to syslog instead of stderr.",
    },

    /* Information. */
    {
        .name = "print-capabilities",
        .section = SECTION_INFO,
        .apply = apply_outcome,
        .max = OPTIONS_CAPABILITIES,
        .help = "Print what management software wants to know, as JSON, and exit.",
    },
    {
        .name = "help",
        .letter = 'h',
        .section = SECTION_INFO,
        .apply = apply_outcome,
        .max = OPTIONS_HELP,
        .help = "Print this and exit.",
    },
    {
        .name = "version",
        .letter = 'V',
        .section = SECTION_INFO,
        .apply = apply_outcome,
        .max = OPTIONS_VERSION,
        .help = "Print the version and exit.",
    },

    /* Compatibility. */
    {
        .name = "socket",
        .section = SECTION_COMPAT,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "path",
        .apply = apply_string,
        FIELD(socket_path),
        .help = "An old name of --socket-path.",
    },
    {
        .letter = 'o',
        .section = SECTION_COMPAT,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "word[=value],...",
        .apply = apply_compat,
        .help = "The syntax of older daemons: source=directory, cache=auto|always|none|metadata, "
                "loglevel=level, sandbox=mode, modcaps=list, xattrmap=rules; xattr, readdirplus, "
                "writeback, allow_direct_io, killpriv_v2, announce_submounts, posix_acl, "
                "security_label, posix_lock, flock, each also with no_ before it; debug; "
                "timeout=seconds for --attr-timeout and --entry-timeout together; "
                "max_idle_threads and allow_root have no effect. A comma inside a value is "
                "doubled, or has a backslash before it.",
    },
    {
        .name = "debug",
        .letter = 'd',
        .section = SECTION_COMPAT,
        .apply = apply_debug,
        .help = "The same as --log-level=debug, and -f.",
    },
    {
        .name = "daemonize",
        .section = SECTION_COMPAT,
        .apply = apply_flag,
        FIELD(daemonize),
        .flag = true,
        .help = "Go on in the background, once the socket is there and can be connected to. The "
                "log then needs --syslog.",
    },
    {
        .letter = 'f',
        .section = SECTION_COMPAT,
        .default_text = "on",
        .apply = apply_flag,
        FIELD(daemonize),
        .flag = false,
        .help = "Stay in the foreground.",
    },

    /* Known, but not there yet: refused, unless the value says "off", where a guest could tell. */
    {
        .name = "migration-mode",
        .section = SECTION_LATER,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "mode",
        .apply = apply_migration,
        .choices = migration_mode_choices,
        .help = "Live migration. Accepted, without effect: the VMM refuses to migrate.",
    },
    {
        .name = "migration-on-error",
        .section = SECTION_LATER,
        .argument = ARGUMENT_REQUIRED,
        .metavar = "action",
        .apply = apply_migration,
        .choices = migration_on_error_choices,
        .help = "The same.",
    },
    {
        .name = "migration-verify-handles",
        .section = SECTION_LATER,
        .apply = apply_migration,
        .help = "The same.",
    },
    {
        .name = "migration-confirm-paths",
        .section = SECTION_LATER,
        .apply = apply_migration,
        .help = "The same.",
    },
};

const unsigned option_row_count = ARRAY_SIZE(option_rows);

const struct option_row *option_find(const char *name, size_t length)
{
    for (unsigned i = 0; i < option_row_count; i++) {
        const char *row_name = option_rows[i].name;

        if (row_name && strlen(row_name) == length && !memcmp(row_name, name, length))
            return &option_rows[i];
    }
    return NULL;
}
