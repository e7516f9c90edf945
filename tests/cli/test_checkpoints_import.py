from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.cli.app import app
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.networks import create_network, get_architecture
from napari_hybridseg.networks.uxnet import authors_keys

TINY = {"feature_sizes": (4, 6, 8, 10), "depths": (1, 1, 1, 1), "hidden_size": 12}


@pytest.fixture
def file(tmp_path):
    ours = create_network("uxnet-3d", 1, 3, **TINY).state_dict()
    names = authors_keys(get_architecture("uxnet-3d").make_config(TINY))
    path = tmp_path / "best_metric_model.pth"
    torch.save({theirs: ours[name] for theirs, name in names.items()}, path)
    return path


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"labels": {"1": "left lung", "2": "right lung"}}))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["checkpoints", "import", *map(str, arguments)])


def test_import(tmp_path, file, labels):
    out = tmp_path / "lungs.safetensors"
    done = run(file, "-o", out, "--preset", "flare2021", "--labels", labels, "--half", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["organs"] == ["left lung", "right lung"]
    checkpoint = load_checkpoint(out)
    assert checkpoint.card.architecture == "uxnet-3d"
    assert checkpoint.build_network()(torch.zeros(1, 1, 16, 32, 32)).shape[1] == 3


def test_says_what_was_assumed(tmp_path, file, labels):
    out = tmp_path / "lungs.safetensors"
    done = run(file, "-o", out, "--preset", "flare2021", "--labels", labels)
    assert "taken from the preset uxnet-3d-flare2021" in done.stdout


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "--preset"),
        (["--preset", "flare2021"], "2 organs, and 4 are named"),
        (["--preset", "flare2021", "--config", "{"], "--config is no JSON"),
        (["--preset", "flare2021", "--config", "[1]"], "takes a JSON table"),
        (["--preset", "flare2021", "--config", '{"heads": 2}'], "no setting 'heads'"),
        (["--preset", "flare2021", "-a", "cotr"], "not of cotr"),
    ],
)
def test_refused(tmp_path, file, more, reason):
    done = run(file, "-o", tmp_path / "x.safetensors", *more)
    assert isinstance(done.exception, HybridSegError)
    assert reason in str(done.exception)
    assert not (tmp_path / "x.safetensors").exists()


def test_does_not_overwrite(tmp_path, file, labels):
    out = tmp_path / "lungs.safetensors"
    out.write_text("mine")
    done = run(file, "-o", out, "--preset", "flare2021", "--labels", labels)
    assert isinstance(done.exception, HybridSegError)
    assert out.read_text() == "mine"
