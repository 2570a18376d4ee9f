// SPDX-License-Identifier: BSD-3-Clause
/* Help and manual page, both written from the option table. */
#include <string.h>

#include "options_table.h"

#define HELP_INDENT 10
#define HELP_WIDTH  79
#define ROFF_WIDTH  66

/* Prints text word by word, indented, with the first line already begun at column HELP_INDENT. */
static void print_wrapped(FILE *out, const char *text)
{
    unsigned column = HELP_INDENT;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column > HELP_INDENT && column + 1 + length > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        }
        if (column > HELP_INDENT) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, length, out);
        column += (unsigned)length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static bool has_choices(const struct option_row *row)
{
    return row->choices && row->choices[0].word && row->argument == ARGUMENT_REQUIRED;
}

static void print_help_row(FILE *out, const struct option_row *row)
{
    char choices[200];
    char text[1200];

    fprintf(out, row->letter ? "  -%c" : "    ", row->letter);
    if (row->name)
        fprintf(out, "%s--%s", row->letter ? ", " : "  ", row->name);
    if (row->argument == ARGUMENT_REQUIRED)
        fprintf(out, row->name ? "=%s" : " %s", row->metavar);
    if (row->argument == ARGUMENT_OPTIONAL)
        fprintf(out, "[=%s]", row->metavar);
    fprintf(out, "\n%*s", HELP_INDENT, "");

    size_t fill = (size_t)snprintf(text, sizeof(text), "%s", row->help);
    if (has_choices(row) && fill < sizeof(text)) {
        option_choices_text(row, choices, sizeof(choices));
        fill += (size_t)snprintf(text + fill, sizeof(text) - fill, " One of %s.", choices);
    }
    if (row->default_text && fill < sizeof(text))
        snprintf(text + fill, sizeof(text) - fill, " [default: %s]", row->default_text);
    print_wrapped(out, text);
}

void options_print_help(FILE *out)
{
    fputs("Usage: viofsd --shared-dir=directory --socket-path=path [options]\n"
          "\n"
          "Shares a host directory with a virtual machine over virtiofs.\n",
          out);
    for (unsigned section = 0; section < SECTION_COUNT; section++) {
        fprintf(out, "\n%s:\n", option_sections[section]);
        for (unsigned i = 0; i < option_row_count; i++)
            if (option_rows[i].section == section)
                print_help_row(out, &option_rows[i]);
    }
    fputs("\nAn option's value follows '=' or a space. The last of repeated options wins.\n"
          "The manual page viofsd(1) has the rest.\n",
          out);
}

/* One word of plain text as roff: no backslash is an escape, no dash a hyphen of prose. */
static void print_roff_word(FILE *out, const char *word, size_t length, bool line_start)
{
    bool option = length > 1 && word[0] == '-';

    if (line_start && (word[0] == '.' || word[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < length; i++) {
        if (word[i] == '\\')
            fputs("\\e", out);
        else if (word[i] == '-' && (option || i == 0))
            fputs("\\-", out);
        else
            fputc(word[i], out);
    }
}

/* Plain text as roff: each sentence begins a line of its own, and no line is long. */
static void print_roff(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column > 0 && column + length > ROFF_WIDTH) {
            fputc('\n', out);
            column = 0;
        } else if (column > 0) {
            fputc(' ', out);
        }
        print_roff_word(out, text, length, column == 0);
        column += length + 1;
        if (text[length] && (text[length - 1] == '.' || text[length - 1] == ':')) {
            fputc('\n', out);
            column = 0;
        }
        text += length;
        text += strspn(text, " ");
    }
    if (column > 0)
        fputc('\n', out);
}

static void print_man_row(FILE *out, const struct option_row *row)
{
    char choices[200];

    /* A trailing colon would be taken for punctuation. */
    const char *end = row->metavar && strchr(row->metavar, ':') ? "\\&" : "";

    fputs(".It", out);
    if (row->letter)
        fprintf(out, " Fl %c%s", row->letter, row->name ? " ," : "");
    if (row->name)
        fprintf(out, " Fl Fl %s", row->name);
    if (row->argument == ARGUMENT_REQUIRED)
        fprintf(out, row->name ? " Ns = Ns Ar %s%s" : " Ar %s%s", row->metavar, end);
    if (row->argument == ARGUMENT_OPTIONAL)
        fprintf(out, " Ns Oo = Ns Ar %s Oc", row->metavar);
    fputc('\n', out);
    print_roff(out, row->help);
    if (has_choices(row)) {
        option_choices_text(row, choices, sizeof(choices));
        fprintf(out, "One of %s.\n", choices);
    }
    if (row->default_text)
        fprintf(out, "The default is %s.\n", row->default_text);
}

static const char man_head[] =
    ".\\\" SPDX-License-Identifier: BSD-3-Clause\n"
    ".\\\" Made from the option table (daemon/options_table.c): change it there.\n"
    ".Dd November 22, 2026\n"
    ".Dt VIOFSD 1\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm viofsd\n"
    ".Nd share a host directory with a virtual machine\n"
    ".Sh SYNOPSIS\n"
    ".Nm\n"
    ".Fl Fl shared-dir Ns = Ns Ar directory\n"
    ".Fl Fl socket-path Ns = Ns Ar path\n"
    ".Op Ar options\n"
    ".Nm\n"
    ".Fl Fl shared-dir Ns = Ns Ar directory\n"
    ".Fl Fl fd Ns = Ns Ar number\n"
    ".Op Ar options\n"
    ".Sh DESCRIPTION\n"
    ".Nm\n"
    "is a virtiofs daemon: the vhost-user back-end of a virtio file system device.\n"
    "It listens on a\n"
    ".Ux\n"
    "socket for a VMM such as QEMU, and serves the guest's file system requests\n"
    "from one directory of the host, inside a sandbox.\n"
    "It serves one VMM, and ends when that has left.\n"
    ".Pp\n"
    "A value follows its option after an equals sign or as the next argument.\n"
    "The last of repeated options wins.\n";

static const char man_tail[] =
    ".Sh SIGNALS\n"
    ".Bl -tag -width Ds\n"
    ".It Dv SIGTERM , SIGINT , SIGHUP\n"
    "Answer what has been taken, take no more, end with status 0.\n"
    ".El\n"
    ".Sh ENVIRONMENT\n"
    ".Bl -tag -width Ds\n"
    ".It Ev RUST_LOG\n"
    "The level of the log on stderr, in the Rust virtiofsd's syntax, as in\n"
    ".Dq error\n"
    "or\n"
    ".Dq warn,virtiofsd=debug .\n"
    ".It Ev LISTEN_FDS , LISTEN_PID\n"
    "The socket of a systemd socket unit, where neither\n"
    ".Fl Fl fd\n"
    "nor\n"
    ".Fl Fl socket-path\n"
    "is given.\n"
    ".El\n"
    ".Sh FILES\n"
    ".Bl -tag -width Ds\n"
    ".It Ar path Ns .pid\n"
    "The process id, beside the socket, locked while the daemon lives.\n"
    ".It Pa /etc/subuid , /etc/subgid\n"
    "The ranges that an ordinary user may map.\n"
    ".El\n"
    ".Sh EXIT STATUS\n"
    ".Bl -tag -width Ds\n"
    ".It 0\n"
    "The VMM has left, or a signal asked for the end.\n"
    ".It 1\n"
    "Something failed; one line tells what.\n"
    ".It 2\n"
    "The command line is wrong; one line tells what is right.\n"
    ".El\n"
    ".Sh EXAMPLES\n"
    "Share\n"
    ".Pa /srv/share\n"
    "and start QEMU with it:\n"
    ".Bd -literal -offset indent\n"
    "viofsd \\-\\-shared-dir=/srv/share \\-\\-socket-path=/run/share.sock &\n"
    "qemu-system-x86_64 ... \\e\n"
    "  \\-object memory-backend-memfd,id=mem,size=4G,share=on \\e\n"
    "  \\-numa node,memdev=mem \\e\n"
    "  \\-chardev socket,id=share,path=/run/share.sock \\e\n"
    "  \\-device vhost-user-fs-pci,chardev=share,tag=share\n"
    ".Ed\n"
    ".Pp\n"
    "In the guest:\n"
    ".Dl mount \\-t virtiofs share /mnt\n"
    ".Sh SEE ALSO\n"
    ".Xr viofs-mount 1 ,\n"
    ".Xr capabilities 7 ,\n"
    ".Xr user_namespaces 7\n";

void options_print_man(FILE *out)
{
    fputs(man_head, out);
    fputs(".Sh OPTIONS\n", out);
    for (unsigned section = 0; section < SECTION_COUNT; section++) {
        fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", option_sections[section]);
        for (unsigned i = 0; i < option_row_count; i++)
            if (option_rows[i].section == section)
                print_man_row(out, &option_rows[i]);
        fputs(".El\n", out);
    }
    fputs(man_tail, out);
}
