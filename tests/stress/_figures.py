"""The figures of some runs, for a page: one flat object.

Rule: a group of scenarios is what stands before the colon of their names.
"""

import statistics


def figures_of(runs):
    """{name_with_unit: number}: of each group its scenarios, rounds, amounts and latencies."""
    groups = {}
    for run in runs:
        groups.setdefault(run.name.split(":")[0].replace(" ", "_"), []).append(run)
    found = {}
    for group, members in groups.items():
        found[f"{group}_scenarios"] = len(members)
        found[f"{group}_rounds"] = sum(run.rounds for run in members)
        for unit in sorted({unit for run in members for unit in run.amounts}):
            found[f"{group}_{unit}"] = sum(run.amounts.get(unit, 0) for run in members)
        latencies_ns = [latency for run in members for latency in run.latencies_ns]
        if latencies_ns:
            found[f"{group}_median_ms"] = round(statistics.median(latencies_ns) / 1e6, 3)
            found[f"{group}_worst_ms"] = round(max(latencies_ns) / 1e6, 1)
        found[f"{group}_wrong"] = sum(len(run.wrong) for run in members)
    return found
