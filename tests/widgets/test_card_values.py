"""What the options come to that are left to the checkpoint."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_hybridseg.model_card import ModelCard, Preprocessing
from napari_hybridseg.widgets.card_values import card_values, precision_value
from napari_hybridseg.widgets.facts import Choice

CPU, GPU = Choice("cpu", "CPU, 2 cores"), Choice("cuda:1", "H200")


def test_without_a_card_nothing_is_said() -> None:
    assert card_values(None) == {}


def test_a_card_says_its_values(card: ModelCard) -> None:
    windows = card.windows.model_copy(update={"mirror_axes": (2, 1)})
    said = card_values(card.model_copy(update={"windows": windows}), "CT")
    assert said == {
        "overlap": "0.5",
        "importance": "gaussian",
        "tta": "front–back and left–right (from the card)",
        "body_crop": "on",
    }
    assert card_values(card, "MR")["body_crop"] == "off"
    assert card_values(card)["tta"] == "no axis (from the card)"
    turned = card.model_copy(
        update={
            "windows": card.windows.model_copy(update={"mirror_axes": (2,)}),
            "preprocessing": Preprocessing(axes=(2, 1, 0)),
        }
    )
    assert card_values(turned)["tta"] == "head–feet (from the card)"


@pytest.mark.parametrize(
    ("device", "devices", "precision"),
    [
        ("cpu", (), "float32"),
        ("cuda:1", (), "bfloat16 or float16"),
        ("mps", (), "float16"),
        ("auto", (Choice("auto", "automatic"), CPU), ""),
        ("auto", (Choice("auto", "automatic (CPU, 2 cores)"), CPU), "float32"),
        ("auto", (Choice("auto", "automatic (H200)"), GPU, CPU), "bfloat16 or float16"),
        ("auto", (), ""),
    ],
)
def test_precision_follows_the_device(device, devices, precision) -> None:
    assert precision_value(device, devices) == precision


def test_saying_so_loads_no_torch_and_no_window_library() -> None:
    code = (
        "import sys, napari_hybridseg.widgets.card_values\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "qtpy", "napari", "monai"} & set(done.stdout.split())
