"""Rebuild a case of the authors' code from its golden file and compare every number in it.

A golden file names the repository that it was made with. Each repository has a module beside
this one, ``parity_<family>.py``, with ``build(meta)`` and either a ``check(npz_path)`` of its own
or ``intermediates(network)``, which the check below uses.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.networks.base import network_heads
from napari_hybridseg.networks.registry import create_network

FAMILIES = {
    "cbim": "parity_utnetv2",
    "cotr": "parity_cotr",
    "transfuse": "parity_transfuse",
    "3dux-net": "parity_uxnet",
}
# a key list names no repository, only the arguments of the network's constructor
FAMILIES_BY_ARGUMENT = {
    "norm_cfg": "parity_cotr",
    "normal_init": "parity_transfuse",
    "out_chans": "parity_uxnet",
}
FLOAT32_TOLERANCE = 1e-3
# of an intermediate's largest value; the goldens' own float32 rounding reaches a third of it
INTERMEDIATE_TOLERANCE = 2e-4


def build(meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give our architecture's name and the config that a golden file's metadata describes.

    The metadata of a full-size key list (``keys/*.json``) is taken as well.
    """
    name, config = family_of(meta).build(meta)
    return name, config


def check(npz_path: Path) -> dict[str, float]:
    """Compare outputs in float32 and float64, and the intermediates in float64.

    Returns
    -------
    dict
        Largest absolute difference of each array, by its name in the file.

    Raises
    ------
    AssertionError
        Where one differs by more than rounding explains, or an array is not looked at.
    """
    with np.load(npz_path) as case:
        arrays = {name: case[name] for name in case.files}
    meta = json.loads(arrays.pop("meta_json").tobytes())
    family = family_of(meta)
    if hasattr(family, "check"):
        return dict(family.check(npz_path))
    network = load_network(meta, arrays)
    image = torch.from_numpy(arrays["input"])
    with torch.no_grad():
        single = network_heads(network, image)
        network.double()
        seen = family.intermediates(network)
        double = network_heads(network, image.double())
    return _compare_outputs(single, double, arrays, meta) | _compare_intermediates(seen, arrays)


def family_of(meta: Mapping[str, Any]) -> ModuleType:
    """Import the parity module for the repository that a golden file was made with."""
    words = FAMILIES if "upstream" in meta else FAMILIES_BY_ARGUMENT
    described = meta["upstream"].lower() if "upstream" in meta else meta["args"]
    found = [module for word, module in words.items() if word in described]
    if not found:
        raise ValueError(f"no family is known for {described}")
    return importlib.import_module(found[0])


def load_network(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """Build the network of a golden file with the weights of the authors' network in it."""
    name, config = build(meta)
    classes = arrays["output/0"].shape[1]
    network = create_network(name, arrays["input"].shape[1], classes, **config)
    state = {
        key.removeprefix("state/"): torch.from_numpy(value)
        for key, value in arrays.items()
        if key.startswith("state/")
    }
    network.load_state_dict(convert_state_dict(state, name, config), strict=True)
    return network.eval()


def _compare_outputs(
    single: tuple[Tensor, ...],
    double: tuple[Tensor, ...],
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
) -> dict[str, float]:
    wanted = [name for name in arrays if name.startswith("output/")]
    assert len(single) == len(wanted)
    differences = {}
    for index, floor in enumerate(meta["fp32_vs_fp64_maxabs"]):
        golden = torch.from_numpy(arrays[f"output/{index}"])
        assert single[index].shape == golden.shape
        rough = (single[index] - golden).abs().max().item()
        exact = (double[index] - golden).abs().max().item()
        assert rough < FLOAT32_TOLERANCE, f"output {index} is off by {rough:.2g} in float32"
        # the golden's own rounding is all that may be left in float64
        assert exact < 1.01 * floor + 1e-7, f"output {index} is off by {exact:.2g} in float64"
        differences[f"output/{index}"] = exact
    return differences


def _compare_intermediates(
    seen: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]
) -> dict[str, float]:
    wanted = {name for name in arrays if name.startswith("inter/")}
    found = {f"inter/{name}": value for name, value in seen.items()}
    assert wanted <= set(found), f"not looked at: {sorted(wanted - set(found))}"
    differences = {}
    for name in sorted(wanted):
        golden = torch.from_numpy(arrays[name])
        assert found[name].shape == golden.shape, name
        differences[name] = (found[name] - golden).abs().max().item()
        allowed = INTERMEDIATE_TOLERANCE * golden.abs().max().item()
        assert differences[name] < allowed, f"{name} is off by {differences[name]:.2g}"
    return differences
