"""The lines of JSON that the viewer's side and the engine say to each other.

To the engine::

    {"id": 1, "job": "segment", "folder": "…/hybridseg-…", "params": {...}}
    {"cancel": 1}
    {"steer": 1, "wish": "finish" | "pause" | "go on"}

From the engine, any number of the first and then exactly one of the others::

    {"id": 1, "event": "progress" | "note" | "metric" | "region", ...its fields}
    {"id": 1, "event": "result", "value": ...}
    {"id": 1, "event": "error", "message": "One sentence.", "details": "Traceback..."}
    {"id": 1, "event": "cancelled"}

Arrays lie in ``folder``; :mod:`napari_hybridseg.engine.codec` says how they are named in here.
A line that is none of these is not an error: libraries print what they like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from typing_extensions import TypeAlias

from napari_hybridseg.engine.codec import (
    CodecError,
    PutArray,
    TakeArray,
    decode_fields,
    encode_fields,
)
from napari_hybridseg.events import Event, Metric, Note, Progress, RegionDone, Result

LONGEST_LINE = 64 * 2**20

_EVENTS: Mapping[str, type[Any]] = {
    "progress": Progress,
    "note": Note,
    "metric": Metric,
    "region": RegionDone,
    "result": Result,
}
ENDINGS = frozenset({"result", "error", "cancelled"})

Wish: TypeAlias = Literal["finish", "pause", "go on"]


@dataclass(frozen=True)
class Request:
    """Ask for a job; its arrays lie in ``folder``, and those of its replies shall."""

    id: int
    job: str
    folder: Path
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cancel:
    """Ask for the end of a job that was asked for."""

    id: int


@dataclass(frozen=True)
class Steer:
    """Ask a job to come to an end with what it has, to wait, or to go on after that."""

    id: int
    wish: Wish


@dataclass(frozen=True)
class Reply:
    """What a job says: an event by name with its fields still encoded, or its end."""

    id: int
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ending(self) -> bool:
        """Whether the job says nothing after this."""
        return self.event in ENDINGS


def request_line(request: Request) -> bytes:
    """Write a request."""
    return _line(
        {
            "id": request.id,
            "job": request.job,
            "folder": str(request.folder),
            "params": dict(request.params),
        }
    )


def cancel_line(cancel: Cancel) -> bytes:
    """Write a cancel message."""
    return _line({"cancel": cancel.id})


def steer_line(steer: Steer) -> bytes:
    """Write a steering message."""
    return _line({"steer": steer.id, "wish": steer.wish})


def reply_line(reply: Reply) -> bytes:
    """Write a reply."""
    return _line({**reply.fields, "id": reply.id, "event": reply.event})


def parse_order(line: bytes) -> Request | Cancel | Steer | None:
    """Read what the viewer's side says; None if it is none of these."""
    content = _content(line)
    if _has(content, cancel=int):
        return Cancel(content["cancel"])
    if _has(content, steer=int, wish=str) and content["wish"] in get_args(Wish):
        return Steer(content["steer"], content["wish"])
    if _has(content, id=int, job=str, folder=str, params=dict):
        return Request(content["id"], content["job"], Path(content["folder"]), content["params"])
    return None


def parse_reply(line: bytes) -> Reply | None:
    """Read what the engine says; None if it is something else that was printed."""
    content = _content(line)
    if not _has(content, id=int, event=str):
        return None
    if content["event"] not in _EVENTS and content["event"] not in ENDINGS:
        return None
    fields = {key: content[key] for key in content if key not in ("id", "event")}
    return Reply(content["id"], content["event"], fields)


def reply_for_event(job_id: int, event: Event, put: PutArray) -> Reply:
    """Encode an event."""
    name = next(name for name, kind in _EVENTS.items() if isinstance(event, kind))
    return Reply(job_id, name, encode_fields(event, put))


def event_of_reply(reply: Reply, take: TakeArray) -> Event:
    """Decode the event of a reply that is one.

    Raises
    ------
    CodecError
        If its fields are not those of such an event.
    """
    try:
        event: Event = _EVENTS[reply.event](**decode_fields(reply.fields, take))
    except TypeError as error:
        raise CodecError(f"A {reply.event!r} of the engine makes no sense ({error}).") from error
    return event


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode("ascii") + b"\n"


def _has(content: Any, **kinds: type) -> bool:
    """Whether it is an object with these fields of these types."""
    return isinstance(content, dict) and all(
        isinstance(content.get(name), kind) for name, kind in kinds.items()
    )


def _content(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
