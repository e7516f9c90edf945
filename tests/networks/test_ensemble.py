from __future__ import annotations

import pytest
import torch

from napari_hybridseg.networks import ArchitectureError, create_network, get_architecture

SMALL = {"channels": (4, 8), "strides": (2,)}


def test_mean_of_the_members():
    network = create_network("ensemble", 1, 3, member="unet", members=3, settings=SMALL).eval()
    image = torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad():
        each = [member(image) for member in network.members]
        torch.testing.assert_close(network(image), sum(each) / 3)
    assert not torch.equal(each[0], each[1])


def test_takes_the_windows_of_its_members():
    architecture = get_architecture("ensemble")
    config = architecture.make_config(
        {"member": "basic-unet", "settings": {"spatial_dims": 2}, "members": 1}
    )
    assert architecture.dims_of(config) == 2
    assert architecture.constraints(config).divisors == (16, 16)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"member": "ensemble"}, "no ensembles"),
        ({"members": 0}, "members"),
        ({"member": "u-net"}, "no architecture 'u-net'"),
        ({"settings": {"width": 3}}, "unet has no setting 'width'"),
    ],
)
def test_refused(config, reason):
    with pytest.raises(ArchitectureError, match=reason):
        create_network("ensemble", 1, 2, **config)
