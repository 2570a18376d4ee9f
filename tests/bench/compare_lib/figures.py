# SPDX-License-Identifier: BSD-3-Clause
"""Results of a comparison: medians, ratios, the bar, the table."""
import json
import os
import statistics

import bars
from bars import FLOORS, OURS

REFERENCE = "rust"
# Another program that took this part of a CPU during a run makes its figures doubtful.
NOISE = 0.10


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def _spread(runs, key):
    """Half the range of the middle runs (the best and the worst left out from five on), relative
    to the median."""
    values = sorted(run[key] for run in runs)
    if len(values) >= 5:
        values = values[1:-1]
    middle = statistics.median(values)
    return (values[-1] - values[0]) / 2 / middle if middle else 0.0


class Results:
    def __init__(self, machine, missing):
        self.machine = machine
        self.missing = missing
        self.runs = {}      # (workload, depth) -> name -> [figures]
        self.counts = {}    # (workload, depth) -> name -> what counts.py counted
        self.failures = []

    def add(self, name, workload, depth, run):
        run["both_cpu_us"] = run["daemon_cpu_us"] + run.get("client_cpu_us", 0)
        self.runs.setdefault((workload, depth), {}).setdefault(name, []).append(run)

    def add_failure(self, name, workload, depth, text):
        self.failures.append(f"{name}: {workload} at depth {depth}: {text}")

    def add_counts(self, name, workload, depth, counted):
        self.counts.setdefault((workload, depth), {})[name] = counted

    def ratio(self, key, name, other, figure):
        """Median over the rounds of name's figure by other's in the same round; None if there is
        no pair.  Rounds are neighbours in time, so what disturbs the machine for longer than a
        round goes out of the ratio."""
        mine, theirs = (self.runs.get(key, {}).get(n, []) for n in (name, other))
        pairs = [a[figure] / b[figure] for a, b in zip(mine, theirs) if b[figure]]
        return statistics.median(pairs) if pairs else None

    def best_peer(self, key, name, figure, best):
        """The ratio to the peer against which name does worst; None without peers."""
        peers = [n for n in self.runs[key] if n not in (name, OURS, *FLOORS)]
        ratios = [r for r in (self.ratio(key, name, n, figure) for n in peers) if r is not None]
        return best(ratios) if ratios else None

    def bars_missed(self, slack):
        """Those of bars.py; something when there is nothing to judge."""
        judged = bars.all_bars(self)
        return [bar for bar in judged if bar.is_missed(slack)] if judged else ["nothing measured"]

    def behind_reference(self, slack):
        """Lines, one for each place where we do not keep up with the reference."""
        missed = [f"{name} was not measured" for name in (OURS, REFERENCE)
                  if not any(name in by_name for by_name in self.runs.values())]
        if missed:
            return missed
        for key, by_name in self.runs.items():
            where = f"{key[0]} at depth {key[1]}"
            for name in (OURS, REFERENCE):
                if name not in by_name:
                    missed.append(f"{where}: {name} has no figures")
            rate = self.ratio(key, OURS, REFERENCE, "rate")
            cpu = self.ratio(key, OURS, REFERENCE, "daemon_cpu_us")
            if rate is not None and rate < 1 - slack:
                missed.append(f"{where}: rate is {rate:.2f} of {REFERENCE}'s")
            # Polling pays with CPU time.
            if cpu is not None and cpu > 1 + slack and not key[1].endswith("p"):
                missed.append(f"{where}: CPU time per operation is {cpu:.2f} of {REFERENCE}'s")
        return missed

    def _row(self, key, name):
        runs = self.runs[key][name]
        if name in FLOORS:
            return (f"{key[0]:<17}{key[1]:>3} {name:<9}{'':>29} "
                    f"{median(runs, 'daemon_cpu_us'):>9.2f} "
                    f"±{100 * _spread(runs, 'daemon_cpu_us'):3.0f}%")
        others = [n for n in self.runs[key] if n != name]

        def against(figure, best):
            reference = (self.ratio(key, name, REFERENCE, figure)
                         if REFERENCE in others else None)
            peer = self.best_peer(key, name, figure, best) if name == OURS else None
            return "".join(f"{r:6.2f}" if r is not None else "     -" for r in (reference, peer))

        above = [self.ratio(key, name, floor, "daemon_cpu_us") for floor in FLOORS]
        above_floors = "".join(f"{r:7.2f}" if r is not None else "      -" for r in above)
        noisy = sum(run["other_cpu_share"] > NOISE for run in runs)
        return (f"{key[0]:<17}{key[1]:>3} {name:<9}"
                f"{median(runs, 'rate'):>11.0f} ±{100 * _spread(runs, 'rate'):3.0f}%"
                f"{against('rate', min)} "
                f"{median(runs, 'daemon_cpu_us'):>9.2f} "
                f"±{100 * _spread(runs, 'daemon_cpu_us'):3.0f}%"
                f"{against('daemon_cpu_us', max)}{above_floors} "
                f"{median(runs, 'p50_us'):>9.1f}{median(runs, 'p90_us'):>9.1f}"
                f"{median(runs, 'p99_us'):>9.1f}"
                f"{median(runs, 'client_busy'):>7.0%}"
                f"{median(runs, 'voluntary'):>7.2f}"
                f"{median(runs, 'involuntary'):>7.2f}"
                f"{median(runs, 'notifications'):>7.2f}{median(runs, 'kicks'):>7.2f}"
                + (f"  noisy {noisy}/{len(runs)}" if noisy else "")).rstrip()

    def text(self, names, slack):
        """The whole report."""
        machine = self.machine
        lines = [f"{machine['date']}, {machine['cpu']}, {machine['cpus_online']} CPUs, Linux "
                 f"{machine['kernel']}, share on {machine['fs']}, {machine['rounds']} rounds of "
                 f"{machine['seconds']:g} s, load before {machine['load_before']:.2f}"]
        lines += [f"  {name}: {d['version']}: {' '.join(d['command'])}"
                  for name, d in machine["daemons"].items()]
        lines += [f"  {name}: not measured: {reason}" for name, reason in self.missing]
        lines += ["", f"{'workload':<17}{'dep':>3} {'daemon':<9}{'rate/s':>11} {'':>5}"
                  f"{'/rust':>6}{'/best':>6} {'CPU us':>9} {'':>5}{'/rust':>6}{'/best':>6}"
                  f"{'/floor':>7}{'/conf.':>7} "
                  f"{'p50 us':>9}{'p90 us':>9}{'p99 us':>9}{'client':>7}{'sleeps':>7}{'invol.':>7}"
                  f"{'notif.':>7}{'kicks':>7}"]
        for key in self.runs:
            lines += [self._row(key, name) for name in names if name in self.runs[key]]
            lines.append("")
        lines += self._count_lines(names)
        lines += [f"failed: {failure}" for failure in self.failures]
        runs = [run for by_name in self.runs.values() for each in by_name.values() for run in each]
        noisy = sum(run["other_cpu_share"] > NOISE for run in runs)
        lines += self._bar_lines(slack)
        if noisy:
            lines.append(f"noise: in {noisy} of {len(runs)} runs other programs took more than "
                         f"{NOISE:.0%} of a CPU; do not trust the figures")
        missed = self.behind_reference(slack)
        if OURS in names and REFERENCE in names:
            lines.append(f"{OURS} against {REFERENCE}: "
                         + (f"behind in {len(missed)} places" if missed else "nowhere behind")
                         + f" (slack {slack:.0%})")
            lines += [f"  {line}" for line in missed]
        return "\n".join(lines) + "\n"

    def _bar_lines(self, slack):
        judged = bars.all_bars(self)
        if not judged:
            return []
        missed = sum(bar.is_missed(slack) for bar in judged)
        return [f"{'bar':<17}{'dep':>3}  {'':<42}{'is':>9}{'limit':>9}",
                *(bar.line(slack) for bar in judged),
                f"{len(judged)} bars, {missed} missed", ""]

    def _count_lines(self, names):
        lines = []
        for (workload, depth), by_name in self.counts.items():
            for name in names:
                if name not in by_name:
                    continue
                counted = by_name[name]
                calls = sorted(counted["calls"].items(), key=lambda item: -item[1])
                instructions = counted["instructions"]
                lines.append(f"{workload:<17}{depth:>3} {name:<9}{counted['requests']:>9.2f}"
                             f"{sum(counted['calls'].values()):>8.2f}{counted['eventfd']:>8.2f}"
                             + (f"{instructions:>9.0f}  " if instructions else f"{'-':>9}  ")
                             + ", ".join(f"{call} {n:.2g}" for call, n in calls if n >= 0.005))
            lines.append("")
        if lines:
            lines.insert(0, f"{'counted':<17}{'dep':>3} {'daemon':<9}{'requests':>9}{'calls':>8}"
                         f"{'eventfd':>8}{'instr.':>9}  system calls per operation")
        return lines

    def write(self, folder, text):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "results.txt"), "w", encoding="utf-8") as f:
            f.write(text)
        with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as f:
            json.dump({
                "machine": self.machine,
                "missing": self.missing,
                "failures": self.failures,
                "results": [
                    {"workload": workload, "depth": depth, "runs": by_name}
                    for (workload, depth), by_name in self.runs.items()],
                "counts": [
                    {"workload": workload, "depth": depth, "per_op": by_name}
                    for (workload, depth), by_name in self.counts.items()],
            }, f, indent=1)
            f.write("\n")
