"""Numbers as a person reads them."""

from __future__ import annotations

from napari_hybridseg.events import Progress
from napari_hybridseg.inference.estimate import Estimate


def duration(seconds: float) -> str:
    """Say a time roughly, e.g. ``8 s``, ``2 min``, ``1.5 h``."""
    if seconds < 1:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def progress_line(progress: Progress) -> str:
    """Say how far a job is, and how long it will still take where that is known."""
    parts = [progress.stage]
    if progress.total > 1:
        parts.append(f"{100 * progress.done / progress.total:.0f} %")
    if progress.eta_s is not None and progress.done < progress.total:
        parts.append(f"about {duration(progress.eta_s)} left")
    return " · ".join(parts)


def memory(number: int) -> str:
    """Say a size of memory roughly, e.g. ``350 MB``, ``1.4 GB``."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(number / 1e6, 1):.0f} MB"


def cost_line(cost: Estimate) -> str:
    """Say what a run costs: windows, time where it is known, memory."""
    times = f" × {cost.passes} mirrored" if cost.passes > 1 else ""
    parts = [f"{cost.windows} window{'s' if cost.windows != 1 else ''}{times}"]
    if cost.seconds is not None:
        parts.append(f"about {duration(cost.seconds)}")
    parts.append(memory(cost.peak_bytes))
    return " · ".join(parts)
