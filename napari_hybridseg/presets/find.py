"""Every preset, and how one is found by name."""

from __future__ import annotations

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.presets import cotr, transfuse, utnetv2, uxnet
from napari_hybridseg.presets.preset import Preset

PRESETS: tuple[Preset, ...] = (
    *utnetv2.PRESETS,
    *cotr.PRESETS,
    *transfuse.PRESETS,
    *uxnet.PRESETS,
)


class PresetError(HybridSegError):
    """A preset that does not exist, or a name that several have."""


def presets_for(architecture: str) -> tuple[Preset, ...]:
    """Give the presets of an architecture."""
    return tuple(preset for preset in PRESETS if preset.fits(architecture))


def find_preset(name: str, architecture: str | None = None) -> Preset:
    """Find a preset by its name, or by its data set where that leaves no choice.

    Parameters
    ----------
    name : str
        ``"uxnet-3d-flare2021"``, or ``"flare2021"``.
    architecture : str, optional
        Only presets of this architecture.

    Raises
    ------
    PresetError
        If there is none, or several.
    """
    among = PRESETS if architecture is None else presets_for(architecture)
    found = [preset for preset in among if name in (preset.name, preset.dataset)]
    if len(found) == 1:
        return found[0]
    if found:
        choice = ", ".join(preset.name for preset in found)
        raise PresetError(f"Several presets are called {name!r}; choose one of: {choice}.")
    choice = ", ".join(preset.name for preset in among)
    of = f" of {architecture}" if architecture else ""
    if not choice:
        raise PresetError(f"There is no preset{of}: no paper says how it was trained.")
    raise PresetError(f"There is no preset {name!r}{of}; choose one of: {choice}.")
