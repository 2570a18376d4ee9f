# SPDX-License-Identifier: BSD-3-Clause
"""How fast viofsd has to be: against the bare host calls (the floor) and the best peer."""
import statistics

# The floor is judged by; the other one tells how much of the difference is a daemon's lot.
OURS, FLOOR, CONFINED = "viofsd", "floor", "confined"
FLOORS = (FLOOR, CONFINED)

# CPU time of an operation: the larger of the floor by a factor, and the floor and so much for each
# request.  Of 1 MiB, where the copying is all, a smaller factor alone.
FLOOR_FACTOR, FLOOR_US = 1.35, 0.8
LARGE_FACTOR = 1.08
LARGE = ("seqread", "seqwrite")
# By setting (see daemons.Setting): figure, "min" or "max" ratio to the best peer.
AGAINST_PEERS = {
    "32": [("rate", "min", 1.5)],
    "1": [("daemon_cpu_us", "max", 0.7)],
    # With one CPU for both the rate is what is left of it: the third says the same without the noise
    # that other programs make.
    "1c": [("rate", "min", 1.2), ("p99_us", "max", 1.0), ("both_cpu_us", "max", 1 / 1.2)],
    # The client pauses between operations, so what counts is how long one takes.
    "1p": [("p50_us", "max", 1 / 3)],
}
NAMES = {"rate": "rate", "daemon_cpu_us": "CPU", "p50_us": "p50", "p99_us": "p99",
         "both_cpu_us": "CPU and client's"}
# A client that is so busy is what limits the rate.
CLIENT_LIMITS = 0.90


class Bar:
    """One bar of one workload: value, limit, and by how much it is missed (a fraction; at most 0:
    held); excuse: what makes it impossible to hold, if anything does."""

    def __init__(self, key, what, value, limit, missed, excuse=None):
        self.key, self.what, self.value, self.limit, self.missed = key, what, value, limit, missed
        self.excuse = excuse

    def verdict(self, slack):
        if self.missed > slack and self.excuse:
            return self.excuse
        if self.missed <= 0:
            return "held"
        return f"missed by {self.missed:.0%}" + (", noise" if self.missed <= slack else "")

    def is_missed(self, slack):
        return self.missed > slack and not self.excuse

    def line(self, slack):
        return (f"{self.key[0]:<17}{self.key[1]:>3}  {self.what:<42}{self.value:>9.2f}"
                f"{self.limit:>9.2f}  {self.verdict(slack)}")


def floors(setting):
    """Those that are measured beside the daemons."""
    return () if setting.poll else (FLOOR,) if setting.depth == 1 else FLOORS


def floor_limit(workload, floor_us, requests):
    """CPU microseconds that an operation may take which is so many requests."""
    if workload in LARGE:
        return floor_us * LARGE_FACTOR
    return max(floor_us * FLOOR_FACTOR, floor_us + FLOOR_US * requests)


def _against_floor(key, runs):
    pairs = [(mine["daemon_cpu_us"],
              floor_limit(key[0], floor["daemon_cpu_us"], mine["requests"]))
             for mine, floor in zip(runs.get(OURS, []), runs.get(FLOOR, []))]
    if not pairs:
        return []
    over = statistics.median(mine / limit for mine, limit in pairs) - 1
    return [Bar(key, "CPU us, from the floor, at most", statistics.median(mine for mine, _ in pairs),
                statistics.median(limit for _, limit in pairs), over)]


def _excuse(results, key, runs, figure, way, limit):
    """Why a daemon cannot hold the bar against the best peer, or None."""
    if figure == "rate" and key[1] == "32" and statistics.median(
            run["client_busy"] for run in runs[OURS]) >= CLIENT_LIMITS:
        return "the client limits"
    if FLOOR not in runs or figure not in runs[FLOOR][0]:
        return None
    ratio = results.best_peer(key, FLOOR, figure, min if way == "min" else max)
    if ratio is None or (ratio >= limit if way == "min" else ratio <= limit):
        return None
    return f"the floor alone: {ratio:.2f}"


def all_bars(results):
    """The bars of all that was measured, in its order."""
    bars = []
    for key, runs in results.runs.items():
        if OURS not in runs:
            continue
        if key[1] == "32":
            bars += _against_floor(key, runs)
        for figure, way, limit in AGAINST_PEERS.get(key[1], []):
            ratio = results.best_peer(key, OURS, figure, min if way == "min" else max)
            if ratio is None:
                continue
            missed = 1 - ratio / limit if way == "min" else ratio / limit - 1
            excuse = _excuse(results, key, runs, figure, way, limit)
            bars.append(Bar(key, f"{NAMES[figure]}, of the best peer's, "
                            f"at {'least' if way == 'min' else 'most'}", ratio, limit, missed, excuse))
    return bars
