"""The authors' full-size networks, of which there are only names and shapes."""

from __future__ import annotations

import json

import parity
import pytest
import torch

from napari_hybridseg.interop.sniff import sniff
from napari_hybridseg.interop.state_dicts import strip_wrapper_prefixes
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.presets import find_preset

CBIM = {
    "utnetv2_2d_acdc": "acdc",
    "utnetv2_3d_acdc": "acdc",
    "medformer_2d_acdc": "acdc",
    "medformer_3d_acdc": "acdc",
    "medformer_3d_bcv": "bcv",
    "medformer_3d_kits": "kits",
    "medformer_3d_lits": "lits",
    "medformer_3d_amos_ct": "amos-ct",
}
OTHERS = {
    "cotr": "cotr",
    "cotr_dagger": "cotr-dagger",
    "cotr_star": "cotr-star",
    "transfuse_s": "transfuse-s",
    "transfuse_l": "transfuse-l",
    "transfuse_l_384": "transfuse-l384",
    "uxnet_amos": "uxnet-3d",
    "uxnet_default": "uxnet-3d",
    "uxnet_feta": "uxnet-3d",
    "uxnet_flare": "uxnet-3d",
}


def listing(golden, case):
    content = json.loads((golden / "keys" / f"{case}.json").read_text())
    state = {
        strip_wrapper_prefixes(key): torch.empty(shape, device="meta")
        for key, (shape, _) in content["keys"].items()
    }
    return content, state


@pytest.mark.parametrize("case", CBIM)
def test_cbim_weights_and_preset_give_the_authors_settings(golden, case):
    content, state = listing(golden, case)
    name, expected = parity.build(content)
    found = sniff(state, case)
    assert found.architecture == name
    assert (found.in_channels, found.num_classes) == tuple(content["args"][:2])
    architecture = get_architecture(name)
    preset = find_preset(CBIM[case], name)
    config = architecture.make_config({**preset.config, **preset.hidden, **found.config})
    wanted = architecture.make_config(expected).model_dump()
    got = config.model_dump()
    # weights say the widths outright
    assert (
        tuple(got.pop("encoder_channels")) == architecture.make_config(expected).stage_channels[:4]
    )
    del wanted["encoder_channels"]
    assert got == wanted


@pytest.mark.parametrize("case", OTHERS)
def test_weights_alone_give_the_defaults(golden, case):
    content, state = listing(golden, case)
    found = sniff(state, case)
    assert found.architecture == OTHERS[case]
    architecture = get_architecture(found.architecture)
    assert architecture.make_config(found.config) == architecture.make_config()
    arguments = content["args"]
    classes = arguments.get("num_classes", arguments.get("out_chans"))
    assert found.num_classes == classes
