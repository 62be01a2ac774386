"""The demo's charts, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.demo.scenario import CLASSES, REPLICAS, TROUBLE
from trimtab.demo.summary import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trimtab.demo.summary import Row

COLOURS = ("#9aa5b1", "#e0a458", "#4f86c6", "#2a9d6f")
WINDOW_SECONDS = 2.0


def draw(rows: Sequence[Row], seconds: float) -> Figure:
    """All charts on one sheet."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, ((tail, time), (share, kinds)) = plt.subplots(2, 2, figsize=(14, 9.5))
    draw_tail(tail, rows)
    draw_timeline(time, rows, seconds)
    draw_share(share, rows)
    draw_classes(kinds, rows)
    handles, labels = tail.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(rows), frameon=False, fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.95), h_pad=3.0, w_pad=3.0)
    return figure


def draw_tail(axes: Axes, rows: Sequence[Row]) -> None:
    """Latency by quantile, the tail stretched out."""
    points = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995]
    for row, colour in zip(rows, COLOURS, strict=True):
        ordered = sorted(a.latency * 1e3 for a in row.answers if a.error is None)
        # -log10(1 - q) gives each nine the same room.
        places = range(len(points))
        values = [quantile(ordered, q) for q in points]
        axes.plot(places, values, color=colour, marker="o", markersize=4, label=row.title)
    axes.set_xticks(range(len(points)), [f"p{q * 100:g}" for q in points])
    log_scale(axes)
    axes.set_title("Latency by quantile", loc="left", weight="bold")
    axes.set_ylabel("ms (log scale)")
    axes.grid(axis="y", which="both", alpha=0.2)


def draw_timeline(axes: Axes, rows: Sequence[Row], seconds: float) -> None:
    """The 90th percentile over time, with the trouble shaded."""
    for row, colour in zip(rows, COLOURS, strict=True):
        places, values = [], []
        start = 0.0
        while start < seconds:
            window = sorted(
                a.latency * 1e3
                for a in row.answers
                if a.error is None and start <= a.arrival.at < start + WINDOW_SECONDS
            )
            if window:
                places.append(start + WINDOW_SECONDS / 2)
                values.append(quantile(window, 0.9))
            start += WINDOW_SECONDS
        axes.plot(places, values, color=colour, label=row.title)
        failed = [a.arrival.at for a in row.answers if a.error is not None]
        axes.plot(failed, [axes.get_ylim()[1]] * len(failed), "x", color=colour)
    for trouble in TROUBLE:
        axes.axvspan(trouble.start * seconds, trouble.end * seconds, color="#d1495b", alpha=0.10)
        what = "dead" if trouble.kind == "dead" else f"{trouble.factor:g}x slower"
        axes.text(
            (trouble.start + trouble.end) / 2 * seconds,
            1.0,
            f"{trouble.replica}\n{what}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=8,
            color="#8c2f39",
        )
    log_scale(axes)
    axes.set_xlim(0, seconds)
    axes.set_title(
        "p90 by time of sending (crosses: failed requests)", loc="left", weight="bold", pad=12
    )
    axes.set_xlabel("seconds since the start of the run, when the request was sent")
    axes.set_ylabel("ms (log scale)")
    axes.grid(axis="y", which="both", alpha=0.2)


def log_scale(axes: Axes) -> None:
    """A logarithmic scale in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_share(axes: Axes, rows: Sequence[Row]) -> None:
    """Who served how much."""
    width = 0.8 / len(rows)
    for n, (row, colour) in enumerate(zip(rows, COLOURS, strict=True)):
        places = [i + (n - (len(rows) - 1) / 2) * width for i in range(len(REPLICAS))]
        axes.bar(places, [row.share[r.name] * 100 for r in REPLICAS], width, color=colour)
    axes.set_xticks(range(len(REPLICAS)), [r.name.replace("-", "\n", 1) for r in REPLICAS])
    axes.set_title("Share of the requests by replica", loc="left", weight="bold")
    axes.set_ylabel("% of answered requests")


def draw_classes(axes: Axes, rows: Sequence[Row]) -> None:
    """Each policy's share of every class that went to the archetype that suits it."""
    width = 0.8 / len(rows)
    presets = sorted({r.preset for r in REPLICAS})
    preset_of = {r.name: r.preset for r in REPLICAS}
    columns = [(kind, preset) for kind in CLASSES for preset in presets]
    for n, (row, colour) in enumerate(zip(rows, COLOURS, strict=True)):
        places = [i + (n - (len(rows) - 1) / 2) * width for i in range(len(columns))]
        heights = [
            100
            * sum(
                share
                for name, share in row.class_share[kind.name].items()
                if preset_of[name] == preset
            )
            for kind, preset in columns
        ]
        axes.bar(places, heights, width, color=colour)
    axes.set_xticks(range(len(columns)), [f"{kind.name}\non {preset}" for kind, preset in columns])
    axes.set_title("Where each request class went", loc="left", weight="bold")
    axes.set_ylabel("% of the class")
