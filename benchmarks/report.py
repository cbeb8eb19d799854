"""Results as tables: in the terminal, and as Markdown."""

from benchmarks.targets import judge


def number(value, unit=""):
    """A number with some three digits that count."""
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def percent(value):
    return "" if value is None else f"{100 * value:.0f} %"


def cells(result, verdicts):
    """The columns of one result: case, stdlib, fastsock, C, ratio, gone, asked."""
    asked = ", ".join(f"{verdict.asked}: {'holds' if verdict.holds else 'MISSED'}"
                      for verdict in verdicts)
    if "value" in result:
        return [result["case"], "", number(result["value"], result["unit"]), "", "", "", asked]
    variants = result["variants"]
    medians = [number(variants[name]["median"]) if name in variants else ""
               for name in ("stdlib", "fastsock", "C")]
    ratio = "" if result["ratio"] is None else f"{result['ratio']:.2f}"
    ratio += " (noisy)" if result["noisy"] else ""
    return [result["case"], *medians, ratio, percent(result["overhead_gone"]), asked]


HEADERS = ["case", "stdlib", "fastsock", "C", "stdlib / fastsock", "avoidable overhead gone",
           "asked"]


def tables(data, targets):
    """(subject, rows of cells) of everything that is no sweep."""
    for subject, results in data["subjects"].items():
        rows = [cells(result, list(judge(targets, subject, result)))
                for result in results if "curves" not in result]
        if rows:
            yield subject, rows


def show(console, data, targets):
    """Print tables to a terminal."""
    import rich.table  # not needed for Markdown
    from rich.markup import escape
    for subject, rows in tables(data, targets):
        table = rich.table.Table(title=subject, title_justify="left")
        for index, header in enumerate(HEADERS):
            table.add_column(header, justify="left" if index in (0, 6) else "right",
                             overflow="fold")
        for row in rows:
            style = "bold red" if "MISSED" in row[6] else None
            table.add_row(*map(escape, row), style=style)
        console.print(table)


def markdown(data, targets):
    """Everything as Markdown."""
    machine = data["machine"]
    lines = [f"{machine['date']}, fastsock {machine['fastsock']}, CPython {machine['python']}, "
             f"{machine['kernel']}, {machine['processor']}, {machine['processors']} processors. "
             "Nanoseconds an operation where nothing else is said, medians.", ""]
    for subject, rows in tables(data, targets):
        lines += [f"### {subject}", "", "| " + " | ".join(HEADERS) + " |",
                  "|---|" + "---:|" * 5 + "---|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                  for row in rows]
        lines.append("")
    for subject, results in data["subjects"].items():
        for result in results:
            if "curves" in result:
                lines += sweep_table(result)
    return "\n".join(lines)


def sweep_table(sweep):
    """One sweep as Markdown."""
    names = list(sweep["curves"])
    return [f"### {sweep['case']} ({sweep['unit']})", "",
            f"| {sweep['x']} | " + " | ".join(names) + " |", "|---:|" + "---:|" * len(names),
            *("| " + " | ".join([f"{x:,}", *(number(sweep["curves"][name][index])
                                              for name in names)]) + " |"
              for index, x in enumerate(sweep["xs"])), ""]


def compare(old, new):
    """[(subject, case, old, new, change)] of what both have; change is new / old of the
    ratio to the stdlib, or of the figure."""
    found = []
    for subject, results in new["subjects"].items():
        before = {result["case"]: result for result in old["subjects"].get(subject, ())}
        for result in results:
            other = before.get(result["case"])
            if other is None or "curves" in result:
                continue
            kind = "value" if "value" in result else "ratio"
            if result[kind] is None or other[kind] is None:
                continue
            found.append((subject, result["case"], other[kind], result[kind],
                          result[kind] / other[kind] if other[kind] else float("nan")))
    return found
