"""What a run does where the options leave it to the checkpoint, said in words.

This needs no window library, so that 3D Slicer's face can use it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.run_plan import looks_for_body
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.widgets.facts import Choice

_WAYS = ("head–feet", "front–back", "left–right")  # of the array axes Z, Y, X
# what 'auto' comes to on a kind of device; which of a GPU's two only the GPU can tell
_PRECISIONS: Mapping[str, str] = {
    "cpu": "float32",
    "cuda": "bfloat16 or float16",
    "mps": "float16",
}


def card_values(card: ModelCard | None, modality: str = "") -> dict[str, str]:
    """Say what the card decides, by the name of the option; nothing without a card.

    Parameters
    ----------
    card : ModelCard or None
    modality : str
        The volume's, where it is known.
    """
    if card is None:
        return {}
    axes = [card.preprocessing.axes[axis] for axis in sorted(card.windows.mirror_axes)]
    ways = " and ".join(_WAYS[axis] for axis in axes)
    crops = looks_for_body(SegmentOptions(body_crop="auto"), card, modality)
    return {
        "overlap": f"{card.windows.overlap:g}",
        "importance": card.windows.importance,
        "tta": f"{ways or 'no axis'} (from the card)",
        "body_crop": "on" if crops else "off",
    }


def precision_value(device: str, devices: Sequence[Choice]) -> str:
    """Say what precision 'auto' is on a device; nothing where that is not known yet.

    Parameters
    ----------
    device : str
        As in the options; ``auto`` is the first device that the engine told of.
    devices : sequence of Choice
        The device list, with ``auto`` first.
    """
    if device == "auto":
        is_told = len(devices) > 1 and devices[1].text in devices[0].text
        device = devices[1].key if is_told else ""
    return _PRECISIONS.get(device.partition(":")[0], "")
