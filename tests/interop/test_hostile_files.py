from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from foreign_support import TINY_UXNET, authors_state, network, torch_bytes, write_json
from helpers import tiny_checkpoint

from napari_hybridseg.interop import ForeignFileError, import_checkpoint
from napari_hybridseg.interop.foreign_files import read_torch_file


class Hostile:
    """Runs a program when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def refused(path, **options):
    with pytest.raises(ForeignFileError) as caught:
        import_checkpoint(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_in_a_file_is_not_run(tmp_path, zipped):
    target = tmp_path / "owned"
    content = {"weight": torch.ones(1), "extra": Hostile(target)}
    path = tmp_path / "evil.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "holds more than weights (posix.system)" in refused(path, preset="acdc")
    assert not target.exists()


def test_a_program_in_a_plain_pickle_is_not_run(tmp_path):
    path = tmp_path / "evil.model"
    path.write_bytes(pickle.dumps(Hostile(tmp_path / "owned")))
    refused(path)
    assert not (tmp_path / "owned").exists()


def test_a_program_in_a_numpy_array_is_not_run(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(torch_bytes({"plot": np.array([Hostile(tmp_path / "owned")], dtype=object)}))
    assert "ObjectDType" in refused(path)
    assert not (tmp_path / "owned").exists()


def test_a_whole_module_is_refused(tmp_path):
    path = tmp_path / "module.pth"
    path.write_bytes(torch_bytes(torch.nn.Conv2d(1, 1, 1)))
    assert "torch.nn.modules.conv.Conv2d" in refused(path)


@pytest.mark.parametrize("keep", [0, 50, 200, -40])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_short_is_refused(tmp_path, keep, zipped):
    path = tmp_path / "cut.pth"
    torch.save({"weight": torch.ones(20)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged, cut short or of another kind" in refused(path)


@pytest.mark.parametrize(
    "content",
    [{"weight": [1, 2]}, [torch.ones(1)], {}, {"state_dict": {}}, torch.ones(2), 5],
)
def test_a_file_without_a_table_of_weights_is_refused(tmp_path, content):
    path = tmp_path / "odd.pth"
    path.write_bytes(torch_bytes(content))
    assert "no table of weights" in refused(path)


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    path = tmp_path / "model.ts"
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)), path)
    assert "model.ts holds a program (TorchScript)" in refused(path)


def test_a_file_of_ours_needs_no_import(tmp_path):
    path = tiny_checkpoint(tmp_path).path
    assert "needs no import" in refused(path, preset="flare2021")


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"anything")
    assert "is no whole .safetensors file" in refused(path, preset="flare2021")


def uxnet_state():
    return authors_state(network("uxnet-3d", 1, 5, TINY_UXNET), "uxnet-3d", TINY_UXNET)


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight * torch.nan,
        lambda weight: weight.to(torch.complex64),
        lambda weight: weight.to(torch.int32),
        lambda weight: weight.to_sparse(),
        lambda weight: weight.to("meta"),
    ],
    ids=["nan", "complex", "whole", "sparse", "meta"],
)
def test_weights_that_are_no_numbers_to_calculate_with_are_refused(tmp_path, change):
    state = uxnet_state()
    state["out.conv.conv.bias"] = change(state["out.conv.conv.bias"])
    path = tmp_path / "odd.pth"
    path.write_bytes(torch_bytes(state))
    assert "(not real, finite numbers: head.bias)" in refused(path, preset="flare2021")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(tmp_path, dtype):
    path = tmp_path / "half.pth"
    path.write_bytes(torch_bytes({k: v.to(dtype) for k, v in uxnet_state().items()}))
    assert import_checkpoint(path, preset="flare2021").card.num_classes == 5


def test_a_number_where_a_weight_should_be_is_refused(tmp_path):
    path = tmp_path / "odd.pth"
    path.write_bytes(torch_bytes(uxnet_state() | {"out.conv.conv.weight": torch.tensor(1.0)}))
    assert "only a part of a network" in refused(path, preset="flare2021")


def test_an_unknown_network_is_refused(tmp_path):
    path = tmp_path / "vgg.pth"
    path.write_bytes(torch_bytes({"features.0.weight": torch.ones(1)}))
    assert "of no network that we know (its weights are called features.0.weight)" in refused(path)


def test_what_nnunet_writes_beside_weights_is_let_in():
    content = {
        "log": [np.float64(1.5), np.float32(2), np.int64(3), np.bool_(True), np.arange(4.0)],
        "device": torch.device("cuda:0"),
    }
    read = read_torch_file(torch_bytes(content), "x")
    assert read["log"][:4] == [1.5, 2, 3, True]


def test_the_allow_list_holds_for_one_call_only():
    import monai.data  # noqa: F401 - lets its own tensors in, for good, when it is first imported

    before = set(torch.serialization.get_safe_globals())  # torch gives them in any order
    read_torch_file(torch_bytes({"x": np.float64(1)}), "x")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("name", ["../plans.json", "/plans.json", "a/../../b", "..\\x", "C:\\x"])
def test_an_archive_that_leads_out_of_itself_is_refused(tmp_path, name):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plans.json", "{}")
        archive.writestr(name, "{}")
    assert "leads out of the archive" in refused(path)
    assert sorted(os.listdir(tmp_path)) == ["model.zip"]


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plans.json", '{"a": "' + "b" * 5000 + '"}')
        archive.writestr("dataset.json", "{}")
    content = bytearray(path.read_bytes())
    content[40:50] = b"\xff" * 10
    path.write_bytes(content)
    refused(path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    assert "neither an nnU-Net v2 trained model" in refused(tmp_path)


def test_a_folder_of_several_models_is_refused(tmp_path):
    for name in ("2d", "3d"):
        write_json(tmp_path / name / "plans.json", {})
    assert "several models (2d/, 3d/)" in refused(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.pth")


def test_a_single_fold_of_nnunet_is_refused(tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(torch_bytes({"network_weights": {"a": torch.ones(1)}}))
    assert "give the trained model's folder" in refused(path)
