"""What the viewer sends is what the engine gets."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.engine.codec import CodecError, decode, encode
from napari_hybridseg.geometry import Geometry, GeometryError
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


def round_trip(value: object) -> object:
    arrays: dict[str, np.ndarray] = {}

    def put(array: np.ndarray) -> str:
        arrays[f"a{len(arrays)}"] = array
        return f"a{len(arrays) - 1}"

    return decode(json.loads(json.dumps(encode(value, put))), arrays.__getitem__)


@given(plain)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    assert round_trip(value) == value
    assert type(round_trip(value)) is type(value)


def test_our_own_data_classes_models_paths_and_numpy_numbers_come_back() -> None:
    geometry = Geometry((3, 2, 1), (0.5, 0.7, 2.0), (-1.0, 2.5, 3.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    card = ModelCard(
        name="x",
        architecture="unet",
        config={"channels": [4, 8], "1": (1, 2)},
        labels=LabelScheme.from_names({1: "liver", 4: "spleen"}),
        windows=WindowDefaults(size=(8, 8, 8)),
    )
    value = {"geometry": geometry, "card": (card, Path("a/b")), 3: np.float32(0.5)}
    assert round_trip(value) == value


def test_arrays_travel_apart_from_the_message() -> None:
    array = np.arange(6, dtype=np.uint16).reshape(1, 2, 3)
    back = round_trip({"maps": [array, (array[0],)]})
    np.testing.assert_array_equal(back["maps"][0], array)  # type: ignore[index]
    np.testing.assert_array_equal(back["maps"][1][0], array[0])  # type: ignore[index]
    assert "array" in json.dumps(encode(array, lambda a: "name"))


@pytest.mark.parametrize("value", [object(), {1, 2}, threading.Lock(), b"bytes", 1j, Geometry])
def test_other_things_cannot_travel(value: object) -> None:
    with pytest.raises(CodecError):
        round_trip([value])


@pytest.mark.parametrize(
    "type_name",
    [
        "os:system",
        "subprocess:Popen",
        "napari_hybridseg_evil:Geometry",
        "napari_hybridseg.geometry:np",
        "napari_hybridseg.geometry:GeometryError",
        "napari_hybridseg.geometry:Nothing",
        "napari_hybridseg.nothing:Geometry",
        "",
    ],
)
def test_nothing_but_our_own_plain_data_is_built(type_name: str) -> None:
    message = {"$": "object", "type": type_name, "fields": {}}
    with pytest.raises(CodecError):
        decode(message, lambda name: np.zeros(1))


def test_not_even_a_module_of_others_is_imported() -> None:
    assert "antigravity" not in sys.modules
    with pytest.raises(CodecError):
        decode({"$": "object", "type": "antigravity:x", "fields": {}}, lambda name: np.zeros(1))
    assert "antigravity" not in sys.modules


def test_a_class_that_refuses_its_fields_says_so_itself() -> None:
    encoded = encode(Geometry((1, 1, 1), (1, 1, 1), (0, 0, 0), np.eye(3).ravel()), str)
    encoded["fields"]["spacing"]["items"] = [0, 1, 1]
    with pytest.raises(GeometryError, match="spacing"):
        decode(encoded, lambda name: np.zeros(1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["$", "type", "fields", "items", "pairs", "name", "text"]), inner
        )
        | st.fixed_dictionaries(
            {
                "$": st.sampled_from(["tuple", "dict", "object", "array", "path", "no"]),
                "items": inner,
                "pairs": inner,
                "name": inner,
                "text": inner,
                "fields": inner,
                "type": st.just("napari_hybridseg.geometry:Geometry"),
            }
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_any_json_is_decoded_or_refused(value: object) -> None:
    with contextlib.suppress(CodecError):
        decode(value, lambda name: np.zeros(1))
