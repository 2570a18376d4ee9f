# SPDX-License-Identifier: BSD-3-Clause
"""Results for people: a picture (SVG) and the table of README.md, both of CPU time at depth 32."""
import os
import re
import time

import bars
import figures

SETTING = "32"
COLOURS = {"floor": "#9aa0a6", "confined": "#c9cdd2",
           "viofsd": "#1f77b4", "rust": "#c0504d", "c": "#e8a33d"}
OTHER_COLOUR = "#7b6ca8"
LABELS = {"floor": "bare host calls", "confined": "as a daemon needs them",
          "rust": "Rust virtiofsd", "c": "C virtiofsd"}

PICTURE = "contrib/speed.svg"
BEGIN = "<!-- What follows is written by tests/bench/compare --publish -->\n"
END = "<!-- Until here -->\n"

COLUMNS = 2
COLUMN_WIDTH, LABEL_WIDTH, BAR_WIDTH = 480, 120, 270
BAR_HEIGHT, GROUP_GAP, HEAD = 11, 10, 74
FONT = 'font-family="Helvetica, Arial, sans-serif"'


def _label(results, name):
    """With the version of peers, as major.minor."""
    version = re.search(r"\d+\.\d+", results.machine["daemons"].get(name, {}).get("version", ""))
    label = LABELS.get(name, name)
    return f"{label} {version.group()}" if version and name in LABELS else label


def _shown(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cpu(results, names):
    """[(workload, [(name, CPU us)])] at SETTING."""
    groups = []
    for (workload, setting), runs in results.runs.items():
        if setting == SETTING:
            groups.append((workload, [(name, figures.median(runs[name], "daemon_cpu_us"))
                                      for name in names if name in runs]))
    return groups


def _text(x, y, text, size, anchor="start", colour="#333", weight="normal"):
    return (f'<text x="{x}" y="{y:.1f}" font-size="{size}" {FONT} text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{text}</text>')


def _group(x, y, workload, values):
    """One workload's bars, the longest of them as long as there is room."""
    longest = max(value for _, value in values)
    middle = y + len(values) * BAR_HEIGHT / 2 + 4
    parts = [_text(x + LABEL_WIDTH - 8, middle, workload, 12, "end")]
    for i, (name, value) in enumerate(values):
        top, length = y + i * BAR_HEIGHT, max(1.0, value / longest * BAR_WIDTH)
        parts.append(f'<rect x="{x + LABEL_WIDTH}" y="{top:.1f}" width="{length:.1f}" '
                     f'height="{BAR_HEIGHT - 1.5}" fill="{COLOURS.get(name, OTHER_COLOUR)}"/>')
        parts.append(_text(round(x + LABEL_WIDTH + length + 5, 1), top + BAR_HEIGHT - 2.5,
                           _shown(value), 9, colour="#222" if name == bars.OURS else "#666",
                           weight="bold" if name == bars.OURS else "normal"))
    return parts


def _svg(results, names):
    groups = _cpu(results, names)
    per_column = -(-len(groups) // COLUMNS)
    pitch = len(names) * BAR_HEIGHT + GROUP_GAP
    width, height = COLUMNS * COLUMN_WIDTH, HEAD + per_column * pitch + 30
    machine = results.machine
    parts = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->",
             f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             _text(16, 26, "CPU time of the daemon, microseconds per operation (readdirplus: per "
                   "entry)", 16, weight="bold"),
             _text(16, 44, f"share on {machine['fs']}, one queue, {SETTING} operations in flight; "
                   "shorter is better, each workload has a scale of its own", 11, colour="#666")]
    x = 16
    for name in names:
        label = _label(results, name)
        parts.append(f'<rect x="{x}" y="53" width="11" height="11" '
                     f'fill="{COLOURS.get(name, OTHER_COLOUR)}"/>')
        parts.append(_text(x + 16, 63, label, 12))
        x += 36 + 7 * len(label)
    for i, (workload, values) in enumerate(groups):
        if values:
            parts += _group(i // per_column * COLUMN_WIDTH, HEAD + i % per_column * pitch,
                            workload, values)
    parts.append(_text(16, height - 10, f"{machine['cpu']}, {machine['cpus_online']} CPUs, Linux "
                       f"{machine['kernel'].split('-')[0]}, {machine['date']}, medians of {machine['rounds']} "
                       "interleaved runs", 10, colour="#888"))
    return "\n".join(parts + ["</svg>"]) + "\n"


def _ratio(results, workload, setting, figure, best):
    key = (workload, setting)
    ratio = results.best_peer(key, bars.OURS, figure, best) if key in results.runs else None
    return "-" if ratio is None else f"{ratio:.2f}"


def _table(results, names):
    lines = ["| workload | " + " | ".join(_label(results, name) for name in names)
             + " | CPU, of the best peer's | rate, of the best | rate at depth 1 on one core |",
             "|---|" + "---|" * (len(names) + 3)]
    for workload, values in _cpu(results, names):
        shown = dict(values)
        cells = [_shown(shown[name]) if name in shown else "-" for name in names]
        cells += [_ratio(results, workload, SETTING, "daemon_cpu_us", max),
                  _ratio(results, workload, SETTING, "rate", min),
                  _ratio(results, workload, "1c", "rate", min)]
        lines.append(f"| {workload} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _section(results, names):
    """What README.md says between the marks."""
    machine = results.machine
    day = time.strptime(machine["date"][:10], "%Y-%m-%d")
    return (f"On {machine['fs']}, with default options, one queue, client and daemon pinned to a core "
            f"each ({machine['cpu']},\n{machine['cpus_online']} CPUs, Linux "
            f"{machine['kernel'].split('-')[0]}, {day.tm_mday} {time.strftime('%B %Y', day)}), medians "
            f"of {machine['rounds']} interleaved runs of {machine['seconds']:g} s. Microseconds of CPU "
            f"time\nfor each operation (for `readdirplus` each entry) at depth {SETTING}, and ratios to "
            "the peer that is hardest to beat:\n\n"
            f"![CPU time of the daemons beside the bare host calls]({PICTURE})\n\n"
            + _table(results, names))


def _has_figures(results, names):
    return any(values for _, values in _cpu(results, names))


def write(folder, results, names):
    """results.svg and results.md in FOLDER, of what was measured at SETTING; nothing without."""
    if not _has_figures(results, names):
        return
    for name, text in (("results.svg", _svg(results, names)), ("results.md", _table(results, names))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)


def publish(tree, results, names):
    """README.md of TREE and its picture show what was measured."""
    path = os.path.join(tree, "README.md")
    with open(path, encoding="utf-8") as f:
        before, found, rest = f.read().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end or not _has_figures(results, names):
        raise SystemExit(f"compare: nothing to publish, or no place for it in {path}")
    with open(os.path.join(tree, PICTURE), "w", encoding="utf-8") as f:
        f.write(_svg(results, names))
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + _section(results, names) + END + after)
