"""Measurements as a picture: four figures over what was varied, a line for each number of nodes. Writes a file."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["SUFFIXES", "plot"]

SUFFIXES: Final = (".svg", ".png", ".pdf")
PANELS: Final = (
    ("resync_s", "time to resync, s"),
    ("delivery_ms_p99", "delivery latency (99 %), ms"),
    ("messages", "messages"),
    ("bytes", "bytes"),
)


def plot(rows: Sequence[dict[str, object]], over: str, path: Path) -> None:
    """Draw ``rows`` over the column ``over``: a dot a seed, a line through the medians. The suffix says the format."""
    figures = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2).flat
    nodes = sorted({int(str(row["nodes"])) for row in rows}) if over != "nodes" else [0]
    for axis, (name, title) in zip(axes, PANELS, strict=True):
        for number, count in enumerate(nodes):
            chosen = [row for row in rows if not count or row["nodes"] == count]
            points = [
                (float(str(row[over])), float(str(row[name]))) for row in chosen if row.get(name) not in (None, "")
            ]
            if points:
                medians = {x: statistics.median(b for a, b in points if a == x) for x in sorted({a for a, _ in points})}
                color = f"C{number}"
                axis.plot(*zip(*points, strict=True), ".", color=color, alpha=0.35)
                label = f"{count} nodes" if count else None
                axis.plot(list(medians), list(medians.values()), "-o", color=color, markersize=4, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(over)
        axis.set_ylim(0, 1.04 * axis.get_ylim()[1])  # from 0 on, and no dot at the very top
        axis.yaxis.set_major_formatter("{x:,.10g}")
        axis.grid(visible=True, alpha=0.25)
    if nodes != [0]:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(nodes))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
