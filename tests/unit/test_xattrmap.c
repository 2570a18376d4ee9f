// SPDX-License-Identifier: BSD-3-Clause
/*
 * --xattrmap and --xattr-preset: what becomes of names in both directions. Every example of the two
 * older daemons' documents is here, each with what their text says of it.
 */
#include <errno.h>
#include <stdlib.h>

#include "options.h"
#include "test.h"
#include "xattrmap.h"

#define CASES_MAX 8

/* What the guest's name is on the host (client), or the host's in the guest (server). */
struct name_case {
    const char *name;
    const char *becomes; /* NULL: error; hidden */
    int error;
};

struct example {
    const char *options[2];
    struct name_case client[CASES_MAX];
    struct name_case server[CASES_MAX];
};

#define EVERYTHING ":ok:all:::"
#define SECOND                                                          \
    "/prefix/all/trusted./user.virtiofs./\n   /bad/server//trusted./\n" \
    "\t/bad/client/user.virtiofs.//\n /ok/all///\n"

static const struct example examples[] = {
    /* The table of single rules. What no rule matches is refused, and hidden. */
    {{"--xattrmap=:prefix:client:trusted.:user.virtiofs.:"},
     {{"trusted.x", "user.virtiofs.trusted.x", 0}, {"user.x", NULL, -EPERM}},
     {{"user.virtiofs.trusted.x", NULL, 0}}},
    {{"--xattrmap=:prefix:server::user.virtiofs.:"},
     {{"trusted.x", NULL, -EPERM}},
     {{"user.virtiofs.trusted.x", "trusted.x", 0}, {"user.x", NULL, 0}}},
    {{"--xattrmap=:prefix:all:trusted.:user.virtiofs.:"},
     {{"trusted.x", "user.virtiofs.trusted.x", 0}},
     {{"user.virtiofs.trusted.x", "trusted.x", 0}, {"trusted.x", NULL, 0}}},
    {{"--xattrmap=:ok:client:user.::"},
     {{"user.x", "user.x", 0}, {"trusted.x", NULL, -EPERM}},
     {{"user.x", NULL, 0}}},
    {{"--xattrmap=:ok:server::security.:"},
     {{"security.x", NULL, -EPERM}},
     {{"security.x", "security.x", 0}, {"user.x", NULL, 0}}},
    {{"--xattrmap=" EVERYTHING}, {{"a.b", "a.b", 0}}, {{"a.b", "a.b", 0}}},
    {{"--xattrmap=:bad:server::security.: " EVERYTHING},
     {{"security.x", "security.x", 0}},
     {{"security.x", NULL, 0}, {"user.x", "user.x", 0}}},

    /* 1. Prefix all attributes; and the same by map. */
    {{"--xattrmap=:prefix:all::user.virtiofs.::bad:all:::", "--xattrmap=:map::user.virtiofs.:"},
     {{"user.x", "user.virtiofs.user.x", 0},
      {"user.virtiofs.x", "user.virtiofs.user.virtiofs.x", 0},
      {"security.capability", "user.virtiofs.security.capability", 0}},
     {{"user.virtiofs.user.x", "user.x", 0},
      {"user.x", NULL, 0},
      {"security.selinux", NULL, 0},
      {"user.virtiofs.", NULL, 0}}},

    /* 2. Prefix trusted., let others through, with rules on lines of their own; the same by map. */
    {{"--xattrmap=" SECOND, "--xattrmap=/map/trusted./user.virtiofs./"},
     {{"trusted.x", "user.virtiofs.trusted.x", 0},
      {"user.virtiofs.trusted.x", NULL, -EPERM},
      {"user.virtiofs.", NULL, -EPERM},
      {"user.virtio", "user.virtio", 0},
      {"security.x", "security.x", 0}},
     {{"user.virtiofs.trusted.x", "trusted.x", 0},
      {"trusted.x", NULL, 0},
      {"user.x", "user.x", 0}}},

    /* 3. Hide security., and allow everything else. */
    {{"--xattrmap=/bad/all/security./security./\n            /ok/all///"},
     {{"security.x", NULL, -EPERM}, {"user.x", "user.x", 0}},
     {{"security.x", NULL, 0}, {"user.x", "user.x", 0}}},

    /* The labels of a guest of their own. */
    {{"--xattrmap=:map:security.selinux:trusted.virtiofs.:"},
     {{"security.selinux", "trusted.virtiofs.security.selinux", 0},
      {"security.capability", "security.capability", 0},
      {"trusted.virtiofs.security.selinux", NULL, -EPERM}},
     {{"trusted.virtiofs.security.selinux", "security.selinux", 0},
      {"security.selinux", NULL, 0},
      {"trusted.x", "trusted.x", 0}}},

    /* unsupported; a separator for each rule; the first match decides. */
    {{"--xattrmap=#unsupported#all#system.#system.#,ok,client,user.,,+bad+all+++",
      "--xattrmap= \t#unsupported#all#system.#system.#\r\n\xe2\x86\x92ok\xe2\x86\x92"
      "client\xe2\x86\x92user.\xe2\x86\x92\xe2\x86\x92 +bad+all+++ "},
     {{"system.x", NULL, -EOPNOTSUPP}, {"user.x", "user.x", 0}, {"trusted.x", NULL, -EPERM}},
     {{"system.x", NULL, 0}, {"user.x", NULL, 0}}},
    {{"-oxattrmap=:map::user.virtiofs.:"},
     {{"user.x", "user.virtiofs.user.x", 0}},
     {{"user.virtiofs.user.x", "user.x", 0}}},

    /* Presets. */
    {{"--xattr-preset=overlay"},
     {{"trusted.overlay.opaque", "user.virtiofs.trusted.overlay.opaque", 0},
      {"user.virtiofs.trusted.overlay.opaque", NULL, -EPERM},
      {"trusted.x", "trusted.x", 0},
      {"user.virtiofs.x", "user.virtiofs.x", 0},
      {"security.selinux", "security.selinux", 0}},
     {{"user.virtiofs.trusted.overlay.opaque", "trusted.overlay.opaque", 0},
      {"trusted.overlay.opaque", NULL, 0},
      {"user.virtiofs.security.selinux", "user.virtiofs.security.selinux", 0},
      {"user.x", "user.x", 0}}},
    {{"--xattr-preset=selinux,overlay"},
     {{"security.selinux", "user.virtiofs.security.selinux", 0},
      {"trusted.overlay.opaque", "user.virtiofs.trusted.overlay.opaque", 0},
      {"user.virtiofs.security.selinux", NULL, -EPERM},
      {"security.capability", "security.capability", 0}},
     {{"user.virtiofs.security.selinux", "security.selinux", 0},
      {"security.selinux", NULL, 0},
      {"user.virtiofs.trusted.overlay.opaque", "trusted.overlay.opaque", 0}}},
};

static struct settings settings;

static bool parse(const char *option)
{
    struct options_report report;
    char *argv[] = {(char *)"viofsd", (char *)"--shared-dir=/s", (char *)"--socket-path=/x",
                    (char *)option};

    options_free(&settings);
    return options_parse(4, argv, &settings, &report) == OPTIONS_SERVE;
}

static bool is_as_said(const struct name_case *this, const char *got)
{
    if (!this->becomes == !got && (!got || !strcmp(got, this->becomes)))
        return true;
    fprintf(stderr, "%s: %s, not %s\n", this->name, got ? got : "(none)",
            this->becomes ? this->becomes : "(none)");
    return false;
}

static void check_names(const struct example *example)
{
    for (const struct name_case *this = example->client; this->name; this ++) {
        char room[XATTRMAP_NAME_MAX];
        const char *host = NULL;
        CHECK_EQ(xattrmap_to_host(settings.xattr_rules, this->name, room, &host), this->error);
        CHECK(is_as_said(this, host));
    }
    for (const struct name_case *this = example->server; this->name; this ++)
        CHECK(is_as_said(this, xattrmap_to_guest(settings.xattr_rules, this->name)));
}

static void documented_examples(void)
{
    for (unsigned i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        for (unsigned way = 0; way < 2 && examples[i].options[way]; way++) {
            int before = test_failed;
            CHECK(parse(examples[i].options[way]));
            CHECK(settings.xattr);
            check_names(&examples[i]);
            if (test_failed != before)
                fprintf(stderr, "with %s\n", examples[i].options[way]);
        }
    }
}

/* A preset comes first, and the rest is as the rules say. */
static void preset_and_rules(void)
{
    struct options_report report;
    char *argv[] = {(char *)"viofsd", (char *)"--shared-dir=/s", (char *)"--socket-path=/x",
                    (char *)"--xattr-preset=overlay", (char *)"--xattrmap=:map::user.guest.:"};
    const struct example example = {
        {NULL},
        {{"trusted.overlay.x", "user.virtiofs.trusted.overlay.x", 0},
         {"trusted.x", "user.guest.trusted.x", 0}},
        {{"user.virtiofs.trusted.overlay.x", "trusted.overlay.x", 0},
         {"user.guest.trusted.x", "trusted.x", 0},
         {"user.x", NULL, 0}},
    };
    options_free(&settings);
    CHECK_EQ(options_parse(5, argv, &settings, &report), OPTIONS_SERVE);
    check_names(&example);
}

static void lengths(void)
{
    char option[4096] = "--xattrmap=:prefix:all::";
    char name[600], room[XATTRMAP_NAME_MAX];
    const char *host;
    size_t start = strlen(option);

    memset(option + start, 'p', 255);
    strcpy(option + start + 255, ":");
    CHECK(parse(option));
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    CHECK_EQ(xattrmap_to_host(settings.xattr_rules, name, room, &host), 0);
    CHECK_EQ(strlen(host), 510);
    name[255] = 'n';
    name[257] = '\0';
    CHECK_EQ(xattrmap_to_host(settings.xattr_rules, name, room, &host), -ERANGE);

    memset(option + start, 'p', 256);
    strcpy(option + start + 256, ":");
    CHECK(!parse(option));

    /* 256 rules are the most. */
    strcpy(option, "--xattrmap=");
    for (unsigned i = 0; i < 256; i++)
        strcat(option, EVERYTHING);
    CHECK(parse(option));
    strcat(option, EVERYTHING);
    CHECK(!parse(option));
}

static void without_rules_names_stay(void)
{
    char room[XATTRMAP_NAME_MAX];
    const char *host;
    CHECK_EQ(xattrmap_to_host(NULL, "user.x", room, &host), 0);
    CHECK(!strcmp(host, "user.x"));
    CHECK(!strcmp(xattrmap_to_guest(NULL, "user.x"), "user.x"));
}

int main(void)
{
    RUN(documented_examples);
    RUN(preset_and_rules);
    RUN(lengths);
    RUN(without_rules_names_stay);
    options_free(&settings);
    return test_result();
}
