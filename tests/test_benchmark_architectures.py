"""The fair-comparison table counts right, and takes up every checkpoint that it finds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from helpers import tiny_checkpoint
from torch import nn

from napari_hybridseg.model_card import Evaluation, OrganResult, Provenance, WindowDefaults

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "architectures.py"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("the benchmarks are in the checkout only")
    spec = importlib.util.spec_from_file_location("benchmark_architectures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_multiply_accumulates_of_a_convolution(table: ModuleType) -> None:
    layer = nn.Conv3d(2, 5, 3, padding=1)
    assert table.gmac(layer, 2, (4, 6, 8)) == pytest.approx(2 * 5 * 27 * 4 * 6 * 8 / 1e9)


@pytest.mark.parametrize(
    ("name", "millions", "gmac"),
    # counted with the authors' own code
    [
        ("utnetv2-2d", 12.794, 15.19),
        ("transfuse-s", 26.249, 8.82),
        ("uxnet-3d", 53.006, 577.74),
        ("cotr", 41.873, 563.0),
    ],
)
def test_paper_sizes(table: ModuleType, name: str, millions: float, gmac: float) -> None:
    row = table.network_row(name)
    assert row.parameters_m == pytest.approx(millions, abs=1e-3)
    assert row.gmac == pytest.approx(gmac, rel=2e-3)
    assert row.paper_parameters_m == pytest.approx(millions, rel=5e-3)


def test_what_cannot_be_built_is_a_row_with_the_reason(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "architecture_names", lambda: ("gone", "ensemble"))
    (row,) = table.network_rows()
    assert (row.name, row.gmac) == ("gone", None)
    assert "no architecture 'gone'" in row.note


def test_every_checkpoint_of_a_folder_is_a_row(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(table, "architecture_names", lambda: ())
    organ = OrganResult(name="liver", dice=0.8, hd95_mm=2.5)
    for name, dice in (("worse", 0.7), ("better", 0.8)):
        measured = Evaluation(data="boxes", cases=3, mean_dice=dice, organs=(organ,))
        provenance = Provenance(minutes=12.5)
        tiny_checkpoint(tmp_path, name=name, evaluation=(measured,), provenance=provenance)
    flat = {"channels": [4, 8], "strides": [2], "num_res_units": 0, "spatial_dims": 2}
    windows = WindowDefaults(size=(1, 8, 8), slice_axis=0)
    tiny_checkpoint(tmp_path, name="untold", config=flat, windows=windows)

    networks, checkpoints = table.run(tmp_path, repeats=1)
    assert [row.name for row in checkpoints] == ["untold", "better", "worse"]
    assert checkpoints[0].window == (8, 8)
    assert checkpoints[0].mean_dice is None
    assert checkpoints[1].organs == (("liver", 0.8, 2.5),)
    assert checkpoints[1].minutes == 12.5
    assert checkpoints[1].seconds_per_window > 0
    text = list(table.lines(networks, checkpoints))
    assert "3 of boxes" in text[-1]
    assert "liver 0.800 (2.50)" in text[-1]
