"""Numbers as a person reads them."""

from __future__ import annotations

from napari_hybridseg.events import Progress


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
