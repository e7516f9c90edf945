"""The machine that numbers come from, in words."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PEERS = (
    "torch", "numpy", "scipy", "numba", "monai", "nnunetv2", "medpy", "surface-distance",
    "openvino", "onnxruntime", "napari", "PyQt6",
)  # fmt: skip


def describe() -> dict[str, str]:
    """Say what this machine is; the keys are in the order of a report."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    facts = {
        "CPU": cpu_model(),
        "cores": f"{usable_cores()} usable of {os.cpu_count()}",
        "memory": memory(),
        "GPU": gpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": f"{torch.get_num_threads()} of torch by default",
    }
    return facts | {"packages": ", ".join(f"{name} {_version(name)}" for name in PEERS)}


def load() -> float | None:
    """Give the processes that want a core, over the last minute; None where nothing tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def warning_of(load_before: float | None, cores: int) -> str:
    """Say in one sentence that the machine was busy, or nothing."""
    if load_before is None or load_before < 0.5:
        return ""
    return (
        f"The machine was busy when this began (load {load_before:.1f} on {cores} cores): wall "
        "times are longer than it can do, and stalls and absolute times say more about the other "
        "work. CPU times, ratios and differences stand."
    )


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """Give the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> str:
    """Give the machine's memory."""
    names: Mapping[str, int] = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
