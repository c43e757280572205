# SPDX-License-Identifier: ISC
"""Figures, and the tables and files they are put into: for bench and relay."""

import csv
import os
import statistics
import sys

sys.dont_write_bytecode = True
from paths import BENCH

QUICK = "quick" in sys.argv[1:]
EFFORT = float(os.environ.get("EFFORT", 1))
rows, notes = [], []


def often(times):
    return max(2, round(times * EFFORT))


class Figure:
    """A median and its quartiles; kept for the file."""

    def __init__(self, section, name, what, unit, values):
        values = list(values)
        self.median = statistics.median(values)
        self.low, _, self.high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [self.median] * 3
        rows.append([section, name, what, unit, self.median, self.low, self.high, len(values)])

    def text(self, digits=0):
        form = lambda value: f"{value:,.{digits}f}"
        return f"{form(self.median)} ({form(self.low)}–{form(self.high)})"


def interval(values):
    """(low, high) between which the median of all that could be measured is, 95 times of 100: by the ranks alone."""
    ranked = sorted(values)
    outside = max(0, round(len(ranked) / 2 - 0.98 * len(ranked) ** 0.5))
    return ranked[outside], ranked[-1 - outside]


def figure_alone(section, name, what, unit, value):
    """One that has no spread; for the file, too."""
    rows.append([section, name, what, unit, value, value, value, 1])


def note(text):
    if text not in notes:
        notes.append(text)
        print(f"bench: {text}", file=sys.stderr)


def table(title, head, *lines):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(map(str, line))} |")
    sys.stdout.flush()


def write_results(name):
    with open(BENCH / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["section", "name", "what", "unit", "median", "quartile1", "quartile3", "count"])
        writer.writerows(rows)
