"""Results as pictures: bars of the ratios, and curves of the sweeps; SVG and PNG.

Rules: every axis says its unit; costs and sizes are on logarithmic scales; the legend is
outside of the data; lines differ in dash and marker, and colours in lightness, so that a
print in grey can be read.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of the backend)

#: (colour, dash, marker) of the curves, from dark to light.
STYLES = [("#1b1b1b", "-", "o"), ("#c1440e", "--", "s"), ("#2a7f9e", "-.", "^"),
          ("#e0a458", ":", "D"), ("#9bb8a7", "-", "v")]


def save(figure, folder, name):
    for kind in ("svg", "png"):
        figure.savefig(pathlib.Path(folder, f"{name}.{kind}"), dpi=120, bbox_inches="tight")
    plt.close(figure)


def file_name(text):
    """A case as the name of a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")


def curves(sweep, folder):
    """One sweep: cost over what grows."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for (name, values), (colour, dash, marker) in zip(sweep["curves"].items(), STYLES):
        points = [(x, y) for x, y in zip(sweep["xs"], values) if y is not None]
        axes.plot(*zip(*points), color=colour, linestyle=dash, marker=marker, label=name,
                  markersize=5)
    axes.set_xscale("log", base=10)
    axes.set_yscale("log")
    axes.set_xlabel(sweep["x"])
    axes.set_ylabel(sweep["unit"])
    axes.set_title(sweep["case"])
    axes.grid(True, which="major", linewidth=0.4)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    save(figure, folder, f"sweep-{file_name(sweep['case'])}")


def ratios(subject, results, folder):
    """One subject: how many times the stdlib's rate, a bar a case."""
    rows = [result for result in results if result.get("ratio")]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.38 * len(rows)))
    places = range(len(rows))
    values = [row["ratio"] for row in rows]
    axes.axvline(1, color="#1b1b1b", linewidth=1, linestyle="--", zorder=0)
    for place, value in zip(places, values):
        # What is slower is hatched too, since grey has no red.
        axes.barh(place, value, height=0.6, edgecolor="white",
                  color="#2a7f9e" if value >= 1 else "#c1440e",
                  hatch=None if value >= 1 else "///")
        axes.annotate(f"{value:.2f}", (value, place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=8,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.set_yticks(list(places), [row["case"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    if max(values) > 10:
        axes.set_xscale("log")
    axes.set_xlabel("stdlib's time / fastsock's time (1: the same)")
    axes.set_title(subject)
    axes.margins(x=0.12)
    save(figure, folder, f"ratios-{subject}")


def draw(data, folder):
    """Everything, into a folder; returns how many pictures."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for subject, results in data["subjects"].items():
        ratios(subject, results, folder)
        for result in results:
            if "curves" in result:
                curves(result, folder)
    return len(list(pathlib.Path(folder).glob("*.svg")))
