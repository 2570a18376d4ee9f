// SPDX-License-Identifier: BSD-3-Clause
#include "caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#include "log.h"
#include "scope.h"

#define BIT(capability) (UINT64_C(1) << (capability))

#define KEPT                                                                      \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | \
     BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_MKNOD) | BIT(CAP_SETFCAP))

/* CAP_* of the kernel headers and the modcaps bits are the same numbers. */
static uint64_t wanted_caps(const struct settings *settings)
{
    uint64_t wanted = KEPT;

    if (settings->file_handles != FILE_HANDLES_NEVER)
        wanted |= BIT(CAP_DAC_READ_SEARCH);
    return (wanted | settings->modcaps_add) & ~settings->modcaps_drop;
}

static uint64_t permitted_caps(void)
{
    uint64_t permitted = 0;

    for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
        if (capng_have_capability(CAPNG_PERMITTED, capability))
            permitted |= BIT(capability);
    return permitted;
}

static int check_added(const struct settings *settings, uint64_t permitted)
{
    uint64_t missing = settings->modcaps_add & ~permitted;

    for (unsigned capability = 0; capability < 64; capability++) {
        if (missing & BIT(capability)) {
            const char *name = capng_capability_to_name(capability);
            log_error("--modcaps=+%s: the daemon was not started with this capability",
                      name ? name : "?");
            return -EPERM;
        }
    }
    return 0;
}

/*
 * NO_SETUID_FIXUP: a thread that switches its user id keeps its capabilities, which are then what
 * we say and not what uid 0 happens to mean. NOROOT and NO_CAP_AMBIENT_RAISE: nothing executed
 * could gain any. Locked: for good.
 */
static int set_securebits(void)
{
    unsigned long bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT |
                         SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                         SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

/*
 * Not by libcap-ng, which compares with /proc/PID/status: that is another process here, or none.
 * Ends at the first number that the kernel does not know.
 */
static int drop_bounding(void)
{
    for (unsigned long capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return errno == EINVAL ? 0 : -errno;
    return 0;
}

/*
 * The caller's supplementary groups stay in force when a thread takes the ids of a guest's user. In
 * a directory that belongs to one of them the host would let that user make a setgid file of the
 * group. Where only the caller's own group is mapped they cannot be dropped, nor other ids taken.
 */
static void drop_groups(void)
{
    if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) && setgroups(0, NULL) < 0)
        log_debug("the supplementary groups stay: %m");
}

static int reduce_to(uint64_t kept)
{
    capng_clear(CAPNG_SELECT_CAPS);
    for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
        if (kept & BIT(capability))
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capability);
    return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int caps_seal(const struct settings *settings)
{
    int error = 0;

    capng_clear(CAPNG_SELECT_ALL);
    if (capng_get_caps_process()) {
        log_error("cannot read the capabilities of this process");
        return -EPERM;
    }
    uint64_t permitted = permitted_caps();
    bool setpcap = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

    if (check_added(settings, permitted))
        return -EPERM;
    drop_groups();
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* Securebits and bounding set are CAP_SETPCAP's to change; an ordinary user has nothing in
     * them to lose. */
    if (setpcap) {
        error = set_securebits();
        if (!error)
            error = drop_bounding();
    } else {
        log_debug("no CAP_SETPCAP: securebits and bounding set stay as they are");
    }
    if (!error)
        error = reduce_to(wanted_caps(settings) & permitted);
    if (error) {
        errno = -error;
        log_error("cannot drop capabilities: %m");
    }
    return error;
}

static void reduce_to_some(uint64_t some)
{
    capng_clear(CAPNG_SELECT_ALL);
    if (capng_get_caps_process())
        return;
    if (drop_bounding())
        log_debug("a waiting process keeps its bounding set: %m");
    if (reduce_to(permitted_caps() & some))
        log_debug("a waiting process keeps its capabilities");
}

void caps_drop_in_launcher(void)
{
    reduce_to_some(BIT(CAP_KILL) | BIT(CAP_DAC_OVERRIDE));
}

void caps_drop_all(void)
{
    reduce_to_some(0);
}
