// SPDX-License-Identifier: BSD-3-Clause
/* The command line: what it sets, and what a wrong one is answered with. */
#include <stdlib.h>
#include <unistd.h>

#include "options.h"
#include "scope.h"
#include "test.h"

#define ARGUMENTS_MAX 16
#define REQUIRED      "--shared-dir=/share", "--socket-path=/socket"

struct attempt {
    const char *arguments[ARGUMENTS_MAX];
    enum options_outcome outcome;
    const char *error; /* a part of the line; NULL: none */
};

static struct settings settings;
static struct options_report report;

static enum options_outcome parse(const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char *)"viofsd"};
    int argc = 1;

    for (unsigned i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[argc++] = (char *)arguments[i];
    options_free(&settings);
    return options_parse(argc, argv, &settings, &report);
}

#define PARSE(...) parse((const char *const[ARGUMENTS_MAX]){__VA_ARGS__})

/* Every one of these is answered with one line that holds the given words. */
static const struct attempt wrong[] = {
    {{NULL}, OPTIONS_WRONG, "--shared-dir is required"},
    {{"--shared-dir=/share"}, OPTIONS_WRONG, "give --socket-path or --fd"},
    {{REQUIRED, "--fd=3"}, OPTIONS_WRONG, "--fd and --socket-path"},
    {{"--shared-dir=/s", "--fd=3", "--socket-group=kvm"}, OPTIONS_WRONG, "--socket-group"},
    {{"--bogus"}, OPTIONS_WRONG, "unknown option '--bogus'"},
    {{"--shared"}, OPTIONS_WRONG, "unknown option '--shared'"},
    {{"-x"}, OPTIONS_WRONG, "unknown option '-x'"},
    {{"-"}, OPTIONS_WRONG, "unexpected argument '-'"},
    {{"--", "word"}, OPTIONS_WRONG, "unexpected argument '--'"},
    {{"word"}, OPTIONS_WRONG, "unexpected argument 'word'"},
    {{"--shared-dir"}, OPTIONS_WRONG, "--shared-dir needs a value: directory"},
    {{"--shared-dir", "--xattr"}, OPTIONS_WRONG, "--shared-dir needs a value"},
    {{"--shared-dir="}, OPTIONS_WRONG, "--shared-dir: the value is empty"},
    {{"--cache"}, OPTIONS_WRONG, "--cache needs a value: auto, always, never or metadata"},
    {{"--cache=none"}, OPTIONS_WRONG, "--cache: 'none' is not one of auto, always, never or met"},
    {{"--sandbox", "jail"}, OPTIONS_WRONG, "--sandbox: 'jail' is not one of namespace, chroot or"},
    {{"--seccomp=off"}, OPTIONS_WRONG, "kill, log, trap or none"},
    {{"--log-level=err"}, OPTIONS_WRONG, "error, warn, info, debug, trace or off"},
    {{"--inode-file-handles=yes"}, OPTIONS_WRONG, "never, prefer or mandatory"},
    {{"--xattr=1"}, OPTIONS_WRONG, "--xattr takes no value, got '1'"},
    {{"--thread-pool-size=-1"}, OPTIONS_WRONG, "'-1' is not a number"},
    {{"--thread-pool-size=8x"}, OPTIONS_WRONG, "'8x' is not a number"},
    {{"--thread-pool-size=4294967296"}, OPTIONS_WRONG, "is not a number"},
    {{"--thread-pool-size="}, OPTIONS_WRONG, "'' is not a number"},
    {{"--poll-us=10001"}, OPTIONS_WRONG, "10001"},
    {{"--poll-us=never"}, OPTIONS_WRONG, "'never' is not a number"},
    {{"--request-queues=0"}, OPTIONS_WRONG, "'0' is not a number from 1 to 63"},
    {{"--request-queues=64"}, OPTIONS_WRONG, "'64' is not a number from 1 to 63"},
    {{"--dax-window"}, OPTIONS_WRONG, "--dax-window needs a value: size"},
    {{"--dax-window="}, OPTIONS_WRONG, "'' is not a size from 2M to 64G"},
    {{"--dax-window=0"}, OPTIONS_WRONG, "'0' is not a size from 2M to 64G"},
    {{"--dax-window=1M"}, OPTIONS_WRONG, "'1M' is not a size from 2M to 64G"},
    {{"--dax-window=128G"}, OPTIONS_WRONG, "'128G' is not a size from 2M to 64G"},
    {{"--dax-window=3G"}, OPTIONS_WRONG, "'3G' is not a power of two"},
    {{"--dax-window=8T"}, OPTIONS_WRONG, "is not a size"},
    {{"--dax-window=8GB"}, OPTIONS_WRONG, "is not a size"},
    {{"--dax-window=-8G"}, OPTIONS_WRONG, "is not a size"},
    {{"--dax-window=17179869184G"}, OPTIONS_WRONG, "is not a size"},
    {{"--dax-window=36893488147419103232"}, OPTIONS_WRONG, "is not a size"},
    {{"--dax-min-size=2T"}, OPTIONS_WRONG, "'2T' is not a size from 0 to 1024G"},
    {{"--dax-min-size=1025G"}, OPTIONS_WRONG, "is not a size from 0 to 1024G"},
    {{"--dax=inode"}, OPTIONS_WRONG, "--dax: 'inode' is not one of auto, always or never"},
    {{"--dax-protocol=fs_map"}, OPTIONS_WRONG, "is not one of auto, shmem or fs-map"},
    {{"--rlimit-nofile=18446744073709551616"}, OPTIONS_WRONG, "--rlimit-nofile"},
    {{"--fd=x"}, OPTIONS_WRONG, "--fd: 'x' is not the number of a descriptor"},
    {{"--fd=99999999999"}, OPTIONS_WRONG, "--fd"},
    {{"--tag="}, OPTIONS_WRONG, "1 to 36"},
    {{"--tag=1234567890123456789012345678901234567"}, OPTIONS_WRONG, "has 37 bytes"},
    {{"--modcaps=chown"}, OPTIONS_WRONG, "does not begin with + or -"},
    {{"--modcaps="}, OPTIONS_WRONG, "--modcaps"},
    {{"--modcaps=+"}, OPTIONS_WRONG, "--modcaps"},
    {{"--modcaps=+chown:-nonsense"}, OPTIONS_WRONG, "'nonsense' is not a capability"},
    {{"--uid-map=0:0:1"}, OPTIONS_WRONG, "not of the form :inside:outside:count:"},
    {{"--uid-map=:0:0:1"}, OPTIONS_WRONG, "not of the form"},
    {{"--uid-map=:0:0:1:1"}, OPTIONS_WRONG, "not of the form"},
    {{"--uid-map=:0:0:0:"}, OPTIONS_WRONG, "not of the form"},
    {{"--uid-map=:4294967295:0:1:"}, OPTIONS_WRONG, "not of the form"},
    {{"--gid-map=:0:0:4294967296:"}, OPTIONS_WRONG, "not of the form"},
    {{"--uid-map=:0:9:5:", "--uid-map=:4:99:1:"}, OPTIONS_WRONG, "overlaps"},
    {{"--gid-map=:0:9:5:", "--gid-map=:8:13:1:"}, OPTIONS_WRONG, "overlaps"},
    {{REQUIRED, "--sandbox=none", "--uid-map=:0:0:1:"}, OPTIONS_WRONG, "--sandbox=namespace"},
    {{REQUIRED, "--owner-xattr", "--translate-gid=map:0:1:1"},
     OPTIONS_WRONG,
     "--owner-xattr and --translate-uid or --translate-gid exclude each other"},
    {{"--posix-acl=on"}, OPTIONS_WRONG, "--posix-acl: 'on' is not one of never, auto or always"},
    {{"--security-label="}, OPTIONS_WRONG, "'' is not one of never, auto or always"},
    {{"--xattrmap"}, OPTIONS_WRONG, "--xattrmap needs a value: rules"},
    {{"--xattrmap="}, OPTIONS_WRONG, "--xattrmap: no rule: write for example :map::user.vir"},
    {{"--xattrmap=  :prefx:all:a.:b.:"}, OPTIONS_WRONG, "character 4: 'prefx' is not one of pref"},
    {{"--xattrmap=:ok:every:::"}, OPTIONS_WRONG, "character 5: 'every' is not one of client, ser"},
    {{"--xattrmap=/ok/all///:bad:all:a."}, OPTIONS_WRONG, "character 20: no ':' after the key"},
    {{"--xattrmap=:map:a.:b.: :ok:all:::"}, OPTIONS_WRONG, "character 13: a rule follows map"},
    {{"--xattrmap=:ok:all:::trusted."}, OPTIONS_WRONG, "character 12: 'rus' is not one of prefix,"},
    {{"--xattr-preset=overlay,smack"}, OPTIONS_WRONG, "'smack' is not one of overlay or selinux"},
    {{"--xattr-preset="}, OPTIONS_WRONG, "'' is not one of overlay or selinux"},
    {{"-oxattrmap"}, OPTIONS_WRONG, "-o xattrmap needs a value: xattrmap=rules"},
    {{"--translate-uid"}, OPTIONS_WRONG, "--translate-uid needs a value"},
    {{"--translate-uid="}, OPTIONS_WRONG, "'' does not begin with guest, host,"},
    {{"--translate-uid=:0:1:2:"}, OPTIONS_WRONG, "does not begin with"},
    {{"--translate-uid=maps:0:1:2"}, OPTIONS_WRONG, "does not begin with"},
    {{"--translate-uid=map:1:2"}, OPTIONS_WRONG, "is not of the form map:GUEST:HOST:COUNT"},
    {{"--translate-uid=map:1:2:3:4"}, OPTIONS_WRONG, "is not of the form"},
    {{"--translate-uid=map:1:2:"}, OPTIONS_WRONG, "is not of the form"},
    {{"--translate-uid=map:1:-2:3"}, OPTIONS_WRONG, "is not of the form"},
    {{"--translate-uid=map:0x10:2:3"}, OPTIONS_WRONG, "is not of the form"},
    {{"--translate-uid=map:0:0:4294967296"}, OPTIONS_WRONG, "is not of the form"},
    {{"--translate-gid=forbid-guest:1:2:3"}, OPTIONS_WRONG, "form forbid-guest:GUEST:COUNT"},
    {{"--translate-uid=guest:4294967290:0:10"}, OPTIONS_WRONG, "ends behind 4294967295"},
    {{"--translate-uid=guest:0:4294967290:10"}, OPTIONS_WRONG, "ends behind 4294967295"},
    {{"--translate-uid=squash-host:0:4294967295:5"}, OPTIONS_WRONG, "4294967295 is no id"},
    {{"--translate-uid=map:0:1000:10", "--translate-uid=guest:9:5:1"},
     OPTIONS_WRONG,
     "--translate-uid: 'guest:9:5:1': guest ids 9 to 9 have a rule already"},
    {{"--translate-uid=map:0:1000:10", "--translate-uid=host:1005:1:20"},
     OPTIONS_WRONG,
     "host ids 1005 to 1009 have a rule already"},
    {{"--translate-gid=squash-guest:10:0:10", "--translate-gid=forbid-guest:0:100"},
     OPTIONS_WRONG,
     "guest ids 10 to 19 have a rule already"},
    {{"--migration-mode=paths"}, OPTIONS_WRONG, "'paths' is not one of find-paths or file-handles"},
    {{"--migration-on-error"}, OPTIONS_WRONG, "--migration-on-error needs a value: abort or guest"},
    {{"--migration-verify-handles=1"}, OPTIONS_WRONG, "takes no value"},
    {{"-o"}, OPTIONS_WRONG, "-o needs a value"},
    {{"-o", "bogus"}, OPTIONS_WRONG, "unknown word 'bogus'"},
    {{"-o", "xattr=1"}, OPTIONS_WRONG, "-o xattr takes no value"},
    {{"-o", "source"}, OPTIONS_WRONG, "-o source needs a value"},
    {{"-o", "cache=never,cache=some"}, OPTIONS_WRONG, "'some' is not one of"},
    {{"-o", "flock=1"}, OPTIONS_WRONG, "-o flock takes no value"},
    {{"-o", "posix_acl=auto"}, OPTIONS_WRONG, "-o posix_acl takes no value, got 'auto'"},
    {{"-o", "timeout"}, OPTIONS_WRONG, "-o timeout needs a value: timeout=seconds"},
    {{"-o", "timeout=x"}, OPTIONS_WRONG, "-o timeout: 'x' is not a number of seconds from 0"},
    {{"--attr-timeout="}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--attr-timeout=-1"}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--entry-timeout=1."}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--entry-timeout=.5"}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--negative-timeout=1,5"}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--negative-timeout=1e3"}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"--attr-timeout=4294967295.1"}, OPTIONS_WRONG, "from 0 to 4294967295"},
    {{"--attr-timeout=4294967296"}, OPTIONS_WRONG, "from 0 to 4294967295"},
    {{"--attr-timeout=0.1234567890"}, OPTIONS_WRONG, "is not a number of seconds"},
    {{"-o", "xattr,,"}, OPTIONS_WRONG, "unknown word"},
    {{"--bogus", "-V"}, OPTIONS_WRONG, "unknown option"},
};

static void wrong_lines_are_refused(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        enum options_outcome outcome = parse(wrong[i].arguments);

        if (outcome != wrong[i].outcome || !strstr(report.error, wrong[i].error))
            fprintf(stderr, "row %u (%s): %d '%s'\n", i,
                    wrong[i].arguments[0] ? wrong[i].arguments[0] : "", outcome, report.error);
        CHECK_EQ(outcome, wrong[i].outcome);
        CHECK(strstr(report.error, wrong[i].error));
        CHECK(!strchr(report.error, '\n'));
    }
}

static void defaults_are_those_of_rust_virtiofsd(void)
{
    CHECK_EQ(PARSE(REQUIRED), OPTIONS_SERVE);
    CHECK(!strcmp(settings.shared_dir, "/share"));
    CHECK(!strcmp(settings.socket_path, "/socket"));
    CHECK_EQ(settings.listen_fd, -1);
    CHECK(!settings.tag && !settings.socket_group);
    CHECK_EQ(settings.cache, CACHE_AUTO);
    CHECK_EQ(settings.file_handles, FILE_HANDLES_PREFER);
    CHECK_EQ(settings.sandbox, SANDBOX_NAMESPACE);
    CHECK_EQ(settings.seccomp, SECCOMP_KILL);
    CHECK_EQ(settings.log_level, LOG_LEVEL_INFO);
    CHECK(settings.announce_submounts && settings.readdirplus);
    CHECK(!settings.xattr && !settings.readonly && !settings.writeback);
    CHECK(!settings.allow_direct_io && !settings.allow_mmap);
    CHECK_EQ(settings.killpriv_v2, FEATURE_AUTO);
    CHECK(!settings.preserve_noatime && !settings.persistent && !settings.syslog);
    CHECK(!settings.modcaps_add && !settings.modcaps_drop);
    CHECK(!settings.rlimit_nofile_set);
    CHECK_EQ(settings.thread_pool_size, THREAD_POOL_SIZE);
    CHECK_EQ(settings.poll_us, POLL_US_AUTO);
    CHECK(!settings.poll_always);
    CHECK_EQ(settings.request_queues, REQUEST_QUEUES_MAX);
    CHECK(!settings.attr_timeout.set && !settings.entry_timeout.set);
    CHECK(!settings.negative_timeout.set);
    CHECK_EQ(settings.dax_window, 0);
    CHECK_EQ(settings.dax, DAX_AUTO);
    CHECK_EQ(settings.dax_min_size, 256 << 10);
    CHECK_EQ(settings.dax_protocol, DAX_PROTOCOL_AUTO);
    CHECK_EQ(report.note_count, 0);
}

static void flags_set_and_clear(void)
{
    CHECK_EQ(PARSE(REQUIRED, "--xattr", "--readonly", "--writeback", "--allow-direct-io",
                   "--no-readdirplus", "--no-announce-submounts"),
             OPTIONS_SERVE);
    CHECK(settings.xattr && settings.readonly && settings.writeback && settings.allow_direct_io);
    CHECK(!settings.readdirplus && !settings.announce_submounts);
    CHECK_EQ(PARSE(REQUIRED, "--allow-mmap", "--preserve-noatime", "--persistent", "--syslog",
                   "--killpriv-v2"),
             OPTIONS_SERVE);
    CHECK(settings.allow_mmap && settings.preserve_noatime && settings.persistent);
    CHECK(settings.syslog && settings.killpriv_v2 == FEATURE_ALWAYS);
}

static void the_last_one_wins(void)
{
    CHECK_EQ(PARSE("--shared-dir=/a", "--shared-dir", "/b", "--socket-path=/s", "--cache=never",
                   "--cache", "Always"),
             OPTIONS_SERVE);
    CHECK(!strcmp(settings.shared_dir, "/b"));
    CHECK_EQ(settings.cache, CACHE_ALWAYS);
    CHECK_EQ(PARSE(REQUIRED, "--killpriv-v2", "--no-killpriv-v2", "--no-announce-submounts",
                   "--announce-submounts"),
             OPTIONS_SERVE);
    CHECK(settings.killpriv_v2 == FEATURE_NEVER && settings.announce_submounts);
    CHECK_EQ(PARSE(REQUIRED, "-d", "--log-level=warn"), OPTIONS_SERVE);
    CHECK_EQ(settings.log_level, LOG_LEVEL_WARN);
    CHECK_EQ(PARSE(REQUIRED, "--log-level=off", "-d"), OPTIONS_SERVE);
    CHECK_EQ(settings.log_level, LOG_LEVEL_DEBUG);
}

static void values_are_read(void)
{
    CHECK_EQ(PARSE("--shared-dir=/s", "--fd", "22", "--rlimit-nofile=4096", "--thread-pool-size=8",
                   "--request-queues=4", "--inode-file-handles=fallback"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.listen_fd, 22);
    CHECK(settings.rlimit_nofile_set);
    CHECK_EQ(settings.rlimit_nofile, 4096);
    CHECK_EQ(settings.thread_pool_size, 8);
    CHECK_EQ(settings.request_queues, 4);
    CHECK_EQ(settings.file_handles, FILE_HANDLES_PREFER);
    CHECK_EQ(PARSE(REQUIRED, "--thread-pool-size=1000", "--tag=x", "--rlimit-nofile=0", "-f"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.thread_pool_size, THREAD_POOL_MAX);
    CHECK(settings.rlimit_nofile_set && !settings.rlimit_nofile);
    CHECK(!strcmp(settings.tag, "x"));
    CHECK_EQ(report.note_count, 1);
    /* With a tag the guest believes our number of queues: the one that every VMM has. */
    CHECK_EQ(settings.request_queues, 1);
    CHECK_EQ(PARSE(REQUIRED, "--poll-us=0"), OPTIONS_SERVE);
    CHECK(settings.poll_us == 0 && settings.poll_always);
    CHECK_EQ(PARSE(REQUIRED, "--poll-us=10000"), OPTIONS_SERVE);
    CHECK(settings.poll_us == POLL_US_MAX && settings.poll_always);
    CHECK_EQ(PARSE(REQUIRED, "--poll-us=50", "--poll-us=auto"), OPTIONS_SERVE);
    CHECK(settings.poll_us == POLL_US_AUTO && !settings.poll_always);
    CHECK_EQ(PARSE("--shared-dir=/s", "--socket=/old"), OPTIONS_SERVE);
    CHECK(!strcmp(settings.socket_path, "/old"));
    CHECK_EQ(PARSE(REQUIRED, "--posix-acl=never", "--security-label=never"), OPTIONS_SERVE);
}

static void features_are_negotiated(void)
{
    CHECK_EQ(PARSE(REQUIRED), OPTIONS_SERVE);
    CHECK_EQ(settings.posix_acl, FEATURE_NEVER);
    CHECK(!settings.xattr);
    CHECK_EQ(PARSE(REQUIRED, "--posix-acl"), OPTIONS_SERVE);
    CHECK_EQ(settings.posix_acl, FEATURE_ALWAYS);
    CHECK(settings.xattr);
    CHECK_EQ(PARSE(REQUIRED, "--posix-acl", "--posix-acl=auto"), OPTIONS_SERVE);
    CHECK_EQ(settings.posix_acl, FEATURE_AUTO);
    CHECK(settings.xattr);
    CHECK_EQ(PARSE(REQUIRED, "-o", "posix_acl"), OPTIONS_SERVE);
    CHECK_EQ(settings.posix_acl, FEATURE_ALWAYS);
    CHECK_EQ(PARSE(REQUIRED, "-o", "posix_acl,no_posix_acl"), OPTIONS_SERVE);
    CHECK_EQ(settings.posix_acl, FEATURE_NEVER);
    CHECK(!settings.xattr);
    CHECK_EQ(PARSE(REQUIRED, "--security-label=auto"), OPTIONS_SERVE);
    CHECK_EQ(settings.security_label, FEATURE_AUTO);
    CHECK(settings.xattr);
    CHECK_EQ(PARSE(REQUIRED, "-osecurity_label"), OPTIONS_SERVE);
    CHECK_EQ(settings.security_label, FEATURE_ALWAYS);
}

static void sizes_are_read(void)
{
    CHECK_EQ(PARSE(REQUIRED, "--dax-window=8G", "--dax=always", "--dax-min-size", "3k",
                   "--dax-protocol=fs-map"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.dax_window, INT64_C(8) << 30);
    CHECK_EQ(settings.dax, DAX_ALWAYS);
    CHECK_EQ(settings.dax_min_size, 3072);
    CHECK_EQ(settings.dax_protocol, DAX_PROTOCOL_FS_MAP);
    CHECK_EQ(PARSE(REQUIRED, "--dax-window=2097152", "--dax=never", "--dax-min-size=0",
                   "--dax-protocol=shmem"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.dax_window, 2 << 20);
    CHECK_EQ(settings.dax, DAX_NEVER);
    CHECK_EQ(settings.dax_min_size, 0);
    CHECK_EQ(settings.dax_protocol, DAX_PROTOCOL_SHMEM);
    CHECK_EQ(PARSE(REQUIRED, "--dax-window=65536m"), OPTIONS_SERVE);
    CHECK_EQ(settings.dax_window, INT64_C(64) << 30);
    CHECK_EQ(PARSE(REQUIRED, "--dax-window=2048K", "--dax-min-size=1024g"), OPTIONS_SERVE);
    CHECK_EQ(settings.dax_window, 2 << 20);
}

static void seconds_are_read(void)
{
    CHECK_EQ(PARSE(REQUIRED, "--attr-timeout=0", "--entry-timeout=1.5",
                   "--negative-timeout=0.000000001"),
             OPTIONS_SERVE);
    CHECK(settings.attr_timeout.set && settings.entry_timeout.set && settings.negative_timeout.set);
    CHECK_EQ(settings.attr_timeout.nanoseconds, 0);
    CHECK_EQ(settings.entry_timeout.nanoseconds, 1500000000);
    CHECK_EQ(settings.negative_timeout.nanoseconds, 1);
    CHECK_EQ(PARSE(REQUIRED, "--attr-timeout=4294967295", "--attr-timeout", "0.25"), OPTIONS_SERVE);
    CHECK_EQ(settings.attr_timeout.nanoseconds, 250000000);
    /* The old word sets both, wherever it stands. */
    CHECK_EQ(PARSE(REQUIRED, "-o", "timeout=2.5,cache=always"), OPTIONS_SERVE);
    CHECK_EQ(settings.attr_timeout.nanoseconds, 2500000000);
    CHECK_EQ(settings.entry_timeout.nanoseconds, 2500000000);
    CHECK(!settings.negative_timeout.set);
}

static void modcaps_are_sets(void)
{
    const uint64_t chown = 1u << 0, mknod = 1u << 27, sys_admin = 1u << 21, dac = 1u << 1;

    CHECK_EQ(PARSE(REQUIRED, "--modcaps=+sys_admin:-mknod:-CHOWN"), OPTIONS_SERVE);
    CHECK_EQ(settings.modcaps_add, sys_admin);
    CHECK_EQ(settings.modcaps_drop, mknod | chown);
    CHECK_EQ(PARSE(REQUIRED, "--modcaps=+sys_admin", "--modcaps", "-dac_override"), OPTIONS_SERVE);
    CHECK_EQ(settings.modcaps_add, 0);
    CHECK_EQ(settings.modcaps_drop, dac);
    CHECK_EQ(PARSE(REQUIRED, "--modcaps=+mknod:-mknod"), OPTIONS_SERVE);
    CHECK_EQ(settings.modcaps_add, 0);
    CHECK_EQ(settings.modcaps_drop, mknod);
}

static void maps_add_up(void)
{
    CHECK_EQ(PARSE(REQUIRED, "--uid-map=:0:1000:1:", "--uid-map",
                   ":1:100000:65536:", "--gid-map=/0/5/7/"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.uid_map_count, 2);
    CHECK_EQ(settings.uid_maps[0].outside, 1000);
    CHECK_EQ(settings.uid_maps[1].inside, 1);
    CHECK_EQ(settings.uid_maps[1].outside, 100000);
    CHECK_EQ(settings.uid_maps[1].count, 65536);
    CHECK_EQ(settings.gid_map_count, 1);
    CHECK_EQ(settings.gid_maps[0].outside, 5);
    CHECK_EQ(settings.gid_maps[0].count, 7);
    CHECK_EQ(PARSE(REQUIRED, "--uid-map=:0:0:4294967295:"), OPTIONS_SERVE);
}

static void id_rules_become_ranges(void)
{
    static const struct {
        uint32_t first, last, target;
        enum id_rule rule;
    } to_host[] = {{0, 9, 0, ID_FORBID},
                   {10, 19, 1000, ID_SHIFT},
                   {20, 29, 7, ID_SQUASH},
                   {100, 4294967294, 100000, ID_SQUASH},
                   {4294967295, 4294967295, 0, ID_FORBID}},
      to_guest[] = {{0, 0, 65534, ID_SQUASH}, {50, 59, 5, ID_SHIFT}, {1000, 1009, 10, ID_SHIFT}};
    const struct id_translation *translation = &settings.translate_uid;

    /* Nothing of count 0 is said, not even that something overlaps. */
    CHECK_EQ(PARSE(REQUIRED, "--translate-uid=squash-guest:100:100000:4294967195",
                   "--translate-uid=map:10:1000:10", "--translate-uid=forbid-guest:0:0",
                   "--translate-uid=map:5:5:0", "--translate-uid=forbid-guest:0:10",
                   "--translate-uid=squash-guest:20:7:10",
                   "--translate-uid=forbid-guest:4294967295:1", "--translate-uid", "host:50:5:10",
                   "--translate-uid=squash-host:0:65534:1"),
             OPTIONS_SERVE);
    CHECK_EQ(translation->to_host.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(translation->to_host.ranges[i].first, to_host[i].first);
        CHECK_EQ(translation->to_host.ranges[i].last, to_host[i].last);
        CHECK_EQ(translation->to_host.ranges[i].rule, to_host[i].rule);
        if (to_host[i].rule != ID_FORBID)
            CHECK_EQ(translation->to_host.ranges[i].target, to_host[i].target);
    }
    CHECK_EQ(translation->to_guest.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(translation->to_guest.ranges[i].first, to_guest[i].first);
        CHECK_EQ(translation->to_guest.ranges[i].last, to_guest[i].last);
        CHECK_EQ(translation->to_guest.ranges[i].target, to_guest[i].target);
    }
    CHECK_EQ(settings.translate_gid.to_host.count, 0);
    CHECK_EQ(PARSE(REQUIRED, "--translate-gid=map:0:0:4294967295"), OPTIONS_SERVE);
    CHECK_EQ(settings.translate_gid.to_guest.ranges[0].last, 4294967294);
}

static void the_old_syntax_works(void)
{
    CHECK_EQ(PARSE("--fd=3", "-o", "source=/a,,b,cache=none,sandbox=chroot,xattr,no_readdirplus",
                   "-o", "no_flock,no_posix_lock,loglevel=err,writeback,no_writeback"),
             OPTIONS_SERVE);
    CHECK(!strcmp(settings.shared_dir, "/a,b"));
    CHECK_EQ(settings.cache, CACHE_NEVER);
    CHECK_EQ(settings.sandbox, SANDBOX_CHROOT);
    CHECK_EQ(settings.log_level, LOG_LEVEL_ERROR);
    CHECK(settings.xattr && !settings.readdirplus && !settings.writeback);
    CHECK_EQ(PARSE("--fd=3", "-osource=/s,modcaps=+sys_admin,readdirplus,no_announce_submounts"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.modcaps_add, 1u << 21);
    CHECK(settings.readdirplus && !settings.announce_submounts);
    CHECK_EQ(PARSE("--fd=3", "-o", "source=/s,allow_root,no_posix_acl,no_security_label"),
             OPTIONS_SERVE);
    CHECK_EQ(report.note_count, 1);
}

static void commas_are_escaped(void)
{
    CHECK_EQ(PARSE("--fd=3", "-o=source=/a\\,b\\c,,d,no_xattr"), OPTIONS_SERVE);
    CHECK(!strcmp(settings.shared_dir, "/a,b\\c,d"));
    CHECK_EQ(PARSE("--fd=3", "-o", "source=/a,max_idle_threads=10,debug,log_level=warn"),
             OPTIONS_SERVE);
    CHECK_EQ(settings.log_level, LOG_LEVEL_WARN);
}

static void words_of_other_daemons_are_taken(void)
{
    CHECK_EQ(PARSE(REQUIRED, "--"), OPTIONS_SERVE);
    CHECK_EQ(PARSE(REQUIRED, "--debug"), OPTIONS_SERVE);
    CHECK_EQ(settings.log_level, LOG_LEVEL_DEBUG);
    CHECK_EQ(PARSE(REQUIRED, "--daemonize"), OPTIONS_SERVE);
    CHECK(settings.daemonize);
    CHECK_EQ(PARSE(REQUIRED, "--daemonize", "-f"), OPTIONS_SERVE);
    CHECK(!settings.daemonize);
    CHECK_EQ(PARSE(REQUIRED, "--migration-mode", "find-paths", "--migration-on-error=guest-error",
                   "--migration-verify-handles", "--migration-confirm-paths"),
             OPTIONS_SERVE);
    CHECK_EQ(report.note_count, 1);
    CHECK(strstr(report.notes[0], "live migration is not supported yet"));
}

static void rust_log_decides_on_stderr(void)
{
    static const struct {
        const char *value;
        enum log_level level;
    } rows[] = {
        {"ERROR", LOG_LEVEL_ERROR},
        {"debug", LOG_LEVEL_DEBUG},
        {"off", LOG_LEVEL_OFF},
        {"", LOG_LEVEL_ERROR},
        {"vhost=debug", LOG_LEVEL_OFF},
        {"warn,virtiofsd=trace", LOG_LEVEL_TRACE},
        {"virtiofsd=trace,warn", LOG_LEVEL_TRACE},
        {"virtiofsd", LOG_LEVEL_TRACE},
        {"virtiofsd=", LOG_LEVEL_OFF},
        {"virtiofsd=loud,info", LOG_LEVEL_INFO},
        {"info/regex,error", LOG_LEVEL_INFO},
        {",,=,", LOG_LEVEL_OFF},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        setenv("RUST_LOG", rows[i].value, 1);
        CHECK_EQ(PARSE(REQUIRED, "--log-level=warn"), OPTIONS_SERVE);
        CHECK_EQ(settings.log_level, rows[i].level);
    }
    CHECK_EQ(PARSE(REQUIRED, "--log-level=warn", "--syslog"), OPTIONS_SERVE);
    CHECK_EQ(settings.log_level, LOG_LEVEL_WARN);
    unsetenv("RUST_LOG");
}

static void questions_are_answered(void)
{
    CHECK_EQ(PARSE("-V"), OPTIONS_VERSION);
    CHECK_EQ(PARSE("--version", "--bogus"), OPTIONS_VERSION);
    CHECK_EQ(PARSE("-h"), OPTIONS_HELP);
    CHECK_EQ(PARSE("--help"), OPTIONS_HELP);
    CHECK_EQ(PARSE("--print-capabilities"), OPTIONS_CAPABILITIES);
}

static void socket_activation_is_taken(void)
{
    char pid[24];

    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    CHECK_EQ(PARSE("--shared-dir=/s"), OPTIONS_SERVE);
    CHECK_EQ(settings.listen_fd, 3);
    CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID"));

    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    CHECK_EQ(PARSE("--shared-dir=/s"), OPTIONS_WRONG);
    CHECK(strstr(report.error, "LISTEN_FDS=2"));

    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    CHECK_EQ(PARSE("--shared-dir=/s"), OPTIONS_WRONG);

    /* What is said beats what is inherited. */
    setenv("LISTEN_PID", pid, 1);
    CHECK_EQ(PARSE(REQUIRED), OPTIONS_SERVE);
    CHECK_EQ(settings.listen_fd, -1);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
}

/* Help comes from the table: what tools look for must be in it, and no line may be too wide. */
static void help_names_every_option(void)
{
    autofree char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CHECK(out);
    options_print_help(out);
    fclose(out);
    CHECK(strstr(text, "--readonly"));
    CHECK(strstr(text, "--uid-map=:inside:outside:count:"));
    CHECK(strstr(text, "-V, --version"));
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");

        CHECK(length < 80);
        line += length + (line[length] == '\n');
    }
}

int main(void)
{
    unsetenv("RUST_LOG");
    RUN(wrong_lines_are_refused);
    RUN(defaults_are_those_of_rust_virtiofsd);
    RUN(flags_set_and_clear);
    RUN(the_last_one_wins);
    RUN(values_are_read);
    RUN(features_are_negotiated);
    RUN(sizes_are_read);
    RUN(seconds_are_read);
    RUN(modcaps_are_sets);
    RUN(maps_add_up);
    RUN(id_rules_become_ranges);
    RUN(the_old_syntax_works);
    RUN(commas_are_escaped);
    RUN(words_of_other_daemons_are_taken);
    RUN(rust_log_decides_on_stderr);
    RUN(questions_are_answered);
    RUN(socket_activation_is_taken);
    RUN(help_names_every_option);
    options_free(&settings);
    return test_result();
}
