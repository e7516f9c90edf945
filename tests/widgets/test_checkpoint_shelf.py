"""What is said about a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_hybridseg.model_card import DataSource
from napari_hybridseg.widgets.checkpoint_shelf import card_rows, read_facts
from napari_hybridseg.widgets.facts import CheckpointFacts

SHIPPED = Path(__file__).parents[2] / "sample_data/checkpoints"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_shipped_card_says_what_it_was_taught_from(path: Path) -> None:
    rows = dict(card_rows(read_facts(path)))
    assert {"Description", "Organs", "Measured on", "Limitations", "Licence", "File"} <= set(rows)
    assert " cases (" in rows["Taught from"]


def test_other_peoples_weights_are_named() -> None:
    facts = read_facts(SHIPPED / "torso-utnetv2-3d.safetensors")
    assert facts.card is not None
    assert "Started from" not in dict(card_rows(facts))
    backbone = DataSource(name="deit_small.pth", licence="Apache-2.0")
    made = facts.card.provenance.model_copy(update={"backbones": (backbone,)})
    card = facts.card.model_copy(update={"provenance": made})
    rows = dict(card_rows(CheckpointFacts(facts.path, card)))
    assert rows["Started from"] == "deit_small.pth (Apache-2.0)"


def test_a_bad_file_gives_its_problem(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    ((title, text),) = card_rows(read_facts(bad))
    assert title == "Problem"
    assert "bad.safetensors" in text
