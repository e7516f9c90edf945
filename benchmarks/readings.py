"""What the rows of single benchmarks say, and why something is as slow as it is."""

from __future__ import annotations

from collections.abc import Callable

from rows import Row, Rows, equals, has, number, rows_where


def best_engines(rows: Rows) -> list[Row]:
    """Give the fastest engine's row of every family."""
    best: dict[str, Row] = {}
    for row in rows_where(rows, engine=lambda name: not name.startswith("plain")):
        known = best.get(row["family"])
        if known is None or row["ratio"] > known["ratio"]:
            best[row["family"]] = row
    return list(best.values())


def least_ratio(rows: Rows) -> float:
    """Give the ratio of the family that gains least; one that no engine ran counts as 1."""
    best = best_engines(rows)
    failed = {row["family"] for row in rows} - {row["family"] for row in best}
    return min([row["ratio"] for row in best] + [1.0 for _ in failed])


def room_for_more(rows: Rows) -> str:
    """Say of the families that gain less than 4x how fast 4x would be, beside what a core can do.

    Both are read off the rows: what the plain network and the fastest engine reach per second,
    as parts of what a matrix product reaches on the same core.
    """
    plain = {row["family"]: row for row in rows if row.get("engine") == "plain"}
    told = []
    for best in sorted(best_engines(rows), key=lambda row: float(row["ratio"])):
        start = plain.get(best["family"], {})
        if best["ratio"] >= 4 or not start.get("ceiling_gflops"):
            continue
        needed = 4 * start["gflops"] / start["ceiling_gflops"]
        reached = best["gflops"] / best["ceiling_gflops"]
        told.append(f"{best['family']} {needed:.2f} (the fastest engine reaches {reached:.2f})")
    if not told:
        return ""
    return (
        "as parts of what a matrix product reaches on this core, 4x over the plain network would "
        f"need {', '.join(told)}; products that Winograd's convolutions save count as done, so "
        "an engine can get above 1, but strides, single taps, norms and attention save none"
    )


def stalls_at_rest(rows: Rows) -> str:
    """Say that the viewer stalls as long while no job runs, where it does."""
    at_rest = [
        row["worst_ms"]
        for row in rows
        if any(text in row["what"] for text in ("nothing goes on", "panel at rest"))
    ]
    if not at_rest or max(at_rest) <= 200:
        return ""
    return (
        f"while no job runs the viewer stalls for as long ({max(at_rest):.0f} ms in the rows), so "
        "it is the viewer or this machine, not the run"
    )


def cost_of_opening(rows: Rows) -> str:
    """Say what the panel's opening takes of the CPU itself."""
    (row,) = rows_where(rows, what=has("opening"))
    if not row.get("worst_cpu_ms"):
        return ""
    return (
        f"{row['worst_cpu_ms']:.0f} ms of it are the CPU time of the viewer's process; the rest is "
        "waiting for a core"
    )


def mean_dice(rows: Rows, of: str, shift: str, way: str) -> float:
    """Average a Dice over the seeds of a way of fine-tuning."""
    found = rows_where(rows, shift=equals(shift), way=equals(way))
    return sum(number(row[of]) for row in found) / len(found)


def unshifted_loss(shift: str, way: str) -> Callable[[Rows], float]:
    """Give what reads how much Dice a fine-tune loses on cases as they were."""
    return lambda rows: (
        mean_dice(rows, "unshifted", shift, "before") - mean_dice(rows, "unshifted", shift, way)
    )


def dice_brought_back(rows: Rows) -> float:
    """Give the part of what the mild shift cost that rehearsal brings back."""
    before = mean_dice(rows, "shifted", "mild", "before")
    lost = mean_dice(rows, "unshifted", "mild", "before") - before
    return (mean_dice(rows, "shifted", "mild", "rehearsal") - before) / lost
