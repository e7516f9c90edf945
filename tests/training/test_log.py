from __future__ import annotations

from pathlib import Path

import pytest

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.training.log import append_to_log, start_log

HEADING = "step,seconds,loss,learning_rate\n"


def test_a_fresh_run_begins_a_fresh_log(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for _ in range(2):
        start_log(path, 0)
        append_to_log(path, 10, 1.25, 0.5, 1e-3)
    assert path.read_text() == HEADING + "10,1.2,0.50000,0.001\n"


def test_a_resumed_run_goes_on_after_its_step(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    start_log(path, 0)
    for step in (10, 20, 30):
        append_to_log(path, step, 1.0, 0.5, 1e-3)
    start_log(path, 20)
    append_to_log(path, 30, 2.0, 0.25, 1e-3)
    assert [line.split(",")[0] for line in path.read_text().split()] == ["step", "10", "20", "30"]
    assert "0.25000" in path.read_text()


@pytest.mark.parametrize("content", ["", "organ,Dice\nliver,0.9\n", HEADING + "x,1\n", "\udc80"])
def test_somebody_elses_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "liver.csv"
    path.write_bytes(content.encode(errors="surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(WriteError, match="would be the training log"):
        start_log(path, 0)
    assert path.read_bytes() == before


def test_a_folder_in_the_way_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="would be the training log"):
        start_log(tmp_path, 0)
    with pytest.raises(WriteError, match="cannot be written"):
        append_to_log(tmp_path, 1, 1, 1, 1)
