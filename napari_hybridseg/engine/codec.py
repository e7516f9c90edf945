"""Values as JSON, with their arrays in files beside it.

What the two processes say to each other is made of plain values, paths, arrays, and this
package's own dataclasses and pydantic models. :func:`encode` writes such a value as JSON and
hands every array to the caller, who stores it and gives it a name; :func:`decode` is the way
back. A new kind of job or result needs no code here, and nothing is ever unpickled: only
classes of this package are built, through their own checks.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from napari_hybridseg.errors import HybridSegError

PACKAGE = "napari_hybridseg"
_TAG = "$"

PutArray = Callable[[NDArray[Any]], str]
TakeArray = Callable[[str], NDArray[Any]]


class CodecError(HybridSegError):
    """A value that cannot travel between the viewer and the engine."""


def encode(value: Any, put: PutArray) -> Any:
    """Turn a value into what :mod:`json` can write.

    Parameters
    ----------
    value
        None, bool, number, string, path, array, list, tuple, dict, or a dataclass or pydantic
        model of this package that is made of these.
    put : callable
        Stores an array and gives the name under which the other side finds it.

    Raises
    ------
    CodecError
        If it holds anything else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), put)
    if isinstance(value, np.ndarray):
        return {_TAG: "array", "name": put(value)}
    if isinstance(value, Path):
        return {_TAG: "path", "text": str(value)}
    if isinstance(value, list):
        return [encode(item, put) for item in value]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [encode(item, put) for item in value]}
    if isinstance(value, Mapping):
        pairs = [[encode(key, put), encode(item, put)] for key, item in value.items()]
        return {_TAG: "dict", "pairs": pairs}
    return {_TAG: "object", "type": _type_name(type(value)), "fields": encode_fields(value, put)}


def encode_fields(value: Any, put: PutArray) -> dict[str, Any]:
    """Encode the fields of a dataclass or pydantic model, without its type."""
    return {name: encode(getattr(value, name), put) for name in _field_names(type(value))}


def decode(value: Any, take: TakeArray) -> Any:
    """Turn what :func:`encode` wrote into the value again.

    Parameters
    ----------
    value
        JSON content.
    take : callable
        Finds the array of a name.

    Raises
    ------
    CodecError
        If it is not what ``encode`` writes.
    HybridSegError
        If a class of this package refuses its fields.
    """
    if isinstance(value, list):
        return [decode(item, take) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        return _decode_tagged(value, take)
    except (KeyError, TypeError, ValueError, ValidationError, RecursionError) as error:
        tag = value.get(_TAG)
        raise CodecError(f"A message holds a {tag!r} that makes no sense ({error}).") from error


def decode_fields(fields: Mapping[str, Any], take: TakeArray) -> dict[str, Any]:
    """Decode the fields that :func:`encode_fields` wrote."""
    return {name: decode(item, take) for name, item in fields.items()}


def _decode_tagged(value: dict[str, Any], take: TakeArray) -> Any:
    tag = value[_TAG]
    if tag == "array":
        return take(str(value["name"]))
    if tag == "path":
        return Path(value["text"])
    if tag == "tuple":
        return tuple(decode(item, take) for item in value["items"])
    if tag == "dict":
        return {decode(key, take): decode(item, take) for key, item in value["pairs"]}
    if tag == "object":
        kind = _type_of_name(str(value["type"]))
        fields = decode_fields(dict(value["fields"]), take)
        return kind.model_validate(fields) if issubclass(kind, BaseModel) else kind(**fields)
    raise ValueError("unknown kind of value")


def _field_names(kind: type[Any]) -> list[str]:
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind) if field.init]


def _type_name(kind: type) -> str:
    if not _may_travel(kind):
        raise CodecError(f"A {kind.__qualname__} cannot travel between viewer and engine.")
    return f"{kind.__module__}:{kind.__qualname__}"


def _type_of_name(name: str) -> type:
    module, _, qualname = name.partition(":")
    if module.partition(".")[0] != PACKAGE:
        raise ValueError(f"{name} is not of {PACKAGE}")
    try:
        kind = getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no {name}; are both sides of the same version?") from error
    if not (isinstance(kind, type) and _may_travel(kind)):
        raise ValueError(f"{name} is no plain data")
    return kind


def _may_travel(kind: type) -> bool:
    ours = kind.__module__.partition(".")[0] == PACKAGE
    return ours and (dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel))
