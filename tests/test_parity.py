"""The parity tools take any golden case of the known layout, and none passes that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch

from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.networks import create_network, get_architecture

KEY_LISTS = {
    "cotr": "cotr",
    "cotr_dagger": "cotr-dagger",
    "cotr_star": "cotr-star",
    "medformer_2d_acdc": "medformer-2d",
    "medformer_3d_acdc": "medformer-3d",
    "medformer_3d_amos_ct": "medformer-3d",
    "medformer_3d_bcv": "medformer-3d",
    "medformer_3d_kits": "medformer-3d",
    "medformer_3d_lits": "medformer-3d",
    "transfuse_l": "transfuse-l",
    "transfuse_l_384": "transfuse-l384",
    "transfuse_s": "transfuse-s",
    "utnetv2_2d_acdc": "utnetv2-2d",
    "utnetv2_3d_acdc": "utnetv2-3d",
    "uxnet_amos": "uxnet-3d",
    "uxnet_default": "uxnet-3d",
    "uxnet_feta": "uxnet-3d",
    "uxnet_flare": "uxnet-3d",
}
CHANNELS_AND_CLASSES = {"cotr": (1, 14), "transfuse": (3, 1)}
COARSER_HEADS = ("output/1", "output/2", "output/3")
# what a case may say that none on hand says: (the case it resembles, what differs, our name)
OTHERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "deeper CoTr": ("cotr_small", {"blocks": [2, 2, 2], "nhead": 3}, "cotr-dagger"),
    "CoTr with batch norm": ("cotr_small", {"norm": "BN", "points": 2}, "cotr"),
    "TransFuse-L": (
        "transfuse_small",
        {
            "cls": "TransFuse_L(small)",
            "resnet": {"block": "Bottleneck", "layers": [1, 2, 1], "widths": [16, 32, 64]},
        },
        "transfuse-l",
    ),
    "TransFuse-L 384": (
        "transfuse_small",
        {"cls": "TransFuse_L_384(small)", "drop_rate": 0.1},
        "transfuse-l384",
    ),
    "UX-Net with MLP blocks": (
        "uxnet_small",
        {"kwargs": {"mlp": "linear", "kernel": 5, "feat_size": [16, 8, 8, 8], "hidden_size": 16}},
        "uxnet-3d",
    ),
    "MedFormer without its auxiliary output": (
        "medformer_3d_small",
        {"kwargs": {"aux_loss": False, "proj_type": "linear", "norm": "bn"}},
        "medformer-3d",
    ),
    "UTNetV2 by its class": (
        "utnetv2_2d_small",
        {"upstream": "cbim 28e73c9f", "kwargs": {"act": "ReLU", "expansion": 1, "map_size": 4}},
        "utnetv2-2d",
    ),
}


def test_every_key_list_is_looked_at(golden: Path) -> None:
    assert {path.stem for path in (golden / "keys").glob("*.json")} == set(KEY_LISTS)


@pytest.mark.parametrize("listing", KEY_LISTS)
def test_key_lists_come_through_the_converter(golden: Path, listing: str) -> None:
    published = json.loads((golden / "keys" / f"{listing}.json").read_text())
    name, config = parity.build(published)
    assert name == KEY_LISTS[listing]
    channels, classes = CHANNELS_AND_CLASSES.get(listing.split("_")[0], (1, None))
    arguments = published["args"]
    if classes is None:
        classes = arguments["out_chans"] if isinstance(arguments, dict) else arguments[1]
    with torch.device("meta"):
        network = create_network(name, channels, classes, **config)
        foreign = {key: torch.empty(shape) for key, (shape, _) in published["keys"].items()}
    network.load_state_dict(convert_state_dict(foreign, name, config), strict=True, assign=True)
    assert sum(weight.numel() for weight in network.parameters()) == published["n_params"]


@pytest.mark.parametrize("other", OTHERS)
def test_metadata_of_another_case_is_understood(golden: Path, other: str) -> None:
    like, differs, expected = OTHERS[other]
    meta = json.loads((golden / f"{like}.json").read_text())
    if "kwargs" in differs:
        differs = differs | {"kwargs": meta["kwargs"] | differs["kwargs"]}
    name, config = parity.build(meta | differs)
    assert name == expected
    architecture = get_architecture(name)
    made = architecture.make_config(config)
    assert made != architecture.make_config(parity.build(meta)[1])
    with torch.device("meta"):
        create_network(name, 1, 2, **config)


def test_an_unknown_repository_is_said() -> None:
    with pytest.raises(ValueError, match="no family is known for somebody/else"):
        parity.build({"upstream": "somebody/else", "kwargs": {}})


@pytest.mark.parametrize("case", ["cotr_small", "transfuse_small", "uxnet_small"])
def test_a_case_without_intermediates_is_still_compared(
    golden: Path, tmp_path: Path, case: str
) -> None:
    with np.load(golden / f"{case}.npz") as file:
        arrays = {name: file[name] for name in file.files if not name.startswith("inter/")}
    if case == "cotr_small":  # as without deep supervision
        meta = json.loads(arrays["meta_json"].tobytes())
        meta["fp32_vs_fp64_maxabs"] = meta["fp32_vs_fp64_maxabs"][:1]
        arrays = {name: arrays[name] for name in arrays if name not in COARSER_HEADS}
        arrays["meta_json"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(tmp_path / "bare.npz", **arrays)
    assert "output/0" in parity.check(tmp_path / "bare.npz")
    arrays["output/0"] = arrays["output/0"] + np.float32(0.02)
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(AssertionError):
        parity.check(tmp_path / "wrong.npz")
