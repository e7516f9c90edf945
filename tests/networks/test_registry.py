from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator
from torch import nn

from napari_hybridseg.cli.architectures import _describe
from napari_hybridseg.networks import (
    Architecture,
    ArchitectureError,
    Constraints,
    NetworkConfig,
    architecture_names,
    create_network,
    get_architecture,
    registry,
)

SIZES = st.tuples(*[st.integers(1, 200)] * 3)
THIRD_PARTY = replace(get_architecture("unet"), name="my-net")
NOT_ONE = "a string"


def _fault(*_: Any) -> Any:
    raise ZeroDivisionError("what a plugin\ndid wrong")


class _FaultyConfig(NetworkConfig):
    @model_validator(mode="after")
    def _check(self) -> Any:
        return _fault()


FAULTY = replace(THIRD_PARTY, build=_fault, constraints=_fault)
NO_NETWORK = replace(THIRD_PARTY, build=lambda *_: "a net", constraints=lambda _: (16, 16))
NO_CONFIG = replace(THIRD_PARTY, config_class=_FaultyConfig)


@given(
    divisors=st.tuples(*[st.integers(1, 32)] * 3),
    minimum=st.tuples(*[st.integers(1, 64)] * 3),
    size=SIZES,
)
def test_a_fitted_window_is_the_smallest_allowed(
    divisors: tuple[int, ...], minimum: tuple[int, ...], size: tuple[int, ...]
) -> None:
    constraints = Constraints(divisors, minimum)
    fitted = constraints.fit(size)
    assert constraints.allows(fitted)
    for low, wish, got, divisor in zip(minimum, size, fitted, divisors, strict=True):
        assert got % divisor == 0
        assert got >= max(wish, low)
        assert got - divisor < max(wish, low)


@pytest.mark.parametrize("name", [n for n in architecture_names() if n in registry.MODULE_OF])
def test_every_name_leads_to_its_entry(name: str) -> None:
    try:
        architecture = get_architecture(name)
    except ArchitectureError as error:
        pytest.skip(str(error))
    assert architecture.name == name
    assert architecture.title
    config = architecture.make_config()
    assert architecture.make_config(config.model_dump(mode="json")) == config
    assert architecture.dims_of(config) == architecture.spatial_dims
    constraints = architecture.constraints(config)
    assert constraints.allows(constraints.fit((1,) * architecture.spatial_dims))


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("ufo", {}, r"no architecture 'ufo'; choose one of: utnetv2-2d, .*unet"),
        ("unet", {"wings": 2}, r"unet has no setting 'wings'; it takes: .*channels"),
        ("unet", {"channels": "many"}, r"unet cannot be built like this: channels"),
        ("utnetv2-3d", {"base_channels": 0}, r"utnetv2-3d cannot be built like this"),
    ],
)
def test_what_cannot_be_built_gets_one_sentence(
    name: str, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArchitectureError, match=words) as caught:
        create_network(name, **config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "classes"), [(0, 2), (1, 0), ("1", 2), (1, 2.0), (None, 2), (1, [3])]
)
def test_a_network_needs_channels_and_classes(channels: Any, classes: Any) -> None:
    with pytest.raises(ArchitectureError, match="at least one input channel and one class"):
        create_network("unet", channels, classes)


def test_a_config_survives_a_model_card() -> None:
    architecture = get_architecture("utnetv2-3d")
    config = architecture.make_config({"base_channels": 16})
    assert architecture.make_config(config) is config
    assert architecture.make_config(config.model_dump(mode="json")) == config


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> list[EntryPoint]:
        assert group == "napari_hybridseg.architectures"
        return [
            EntryPoint(name, f"{__name__}:{value}", group)
            for name, value in (
                ("my-net", "THIRD_PARTY"),
                ("broken", "GONE"),
                ("faulty", "FAULTY"),
                ("no-config", "NO_CONFIG"),
                ("no-network", "NO_NETWORK"),
                ("odd", "NOT_ONE"),
                ("unet", "THIRD_PARTY"),
            )
        ]

    monkeypatch.setattr(registry, "entry_points", found)


@pytest.mark.usefixtures("third_party")
def test_third_parties_can_add_architectures() -> None:
    assert architecture_names()[-6:] == (
        "broken",
        "faulty",
        "my-net",
        "no-config",
        "no-network",
        "odd",
    )
    assert get_architecture("my-net").config_class is THIRD_PARTY.config_class
    network = create_network("my-net", 1, 2, channels=(4, 8), strides=(2,))
    assert isinstance(network, nn.Module)
    assert network(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)


@pytest.mark.usefixtures("third_party")
def test_third_parties_cannot_replace_ours() -> None:
    assert architecture_names().count("unet") == 1
    assert get_architecture("unet").name == "unet"


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("name", "words"), [("broken", "does not load"), ("odd", "is no Architecture object")]
)
def test_a_third_partys_fault_is_said(name: str, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words):
        get_architecture(name)


@pytest.mark.usefixtures("third_party")
def test_a_third_partys_fault_in_use_is_said() -> None:
    architecture = get_architecture("faulty")
    with pytest.raises(ArchitectureError, match=r"'faulty' of .* cannot be built: what a plugin"):
        create_network("faulty")
    with pytest.raises(ArchitectureError, match="cannot be built"):
        architecture.constraints(architecture.make_config())


@pytest.mark.usefixtures("third_party")
def test_what_a_third_party_gives_is_looked_at() -> None:
    with pytest.raises(ArchitectureError, match="gives a str where a Module is needed"):
        create_network("no-network")
    architecture = get_architecture("no-network")
    with pytest.raises(ArchitectureError, match="gives a tuple where a Constraints is needed"):
        architecture.constraints(architecture.make_config())
    with pytest.raises(ArchitectureError, match="cannot be built: what a plugin did wrong"):
        get_architecture("no-config").make_config()


@pytest.mark.usefixtures("third_party")
def test_the_list_of_architectures_survives_every_third_party() -> None:
    found = {entry["name"]: entry for entry in map(_describe, architecture_names()[-6:])}
    assert found["my-net"]["parameters"] > 0
    for name in ("broken", "faulty", "no-config", "no-network", "odd"):
        assert found[name]["parameters"] is None
        assert name in found[name]["note"]


def test_listing_names_imports_no_network() -> None:
    code = (
        "import sys; from napari_hybridseg.networks import architecture_names;"
        "architecture_names(); print([m for m in ('torch', 'monai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_entry_is_data() -> None:
    assert isinstance(THIRD_PARTY, Architecture)
    with pytest.raises(AttributeError):
        THIRD_PARTY.name = "other"  # type: ignore[misc]
