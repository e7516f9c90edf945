"""Messages are understood, and whatever else turns up on the line is not mistaken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_hybridseg.engine.codec import CodecError
from napari_hybridseg.engine.protocol import (
    Cancel,
    Reply,
    Request,
    Steer,
    cancel_line,
    event_of_reply,
    parse_order,
    parse_reply,
    reply_for_event,
    reply_line,
    request_line,
    steer_line,
)
from napari_hybridseg.events import Metric, Note, Progress, RegionDone, Result

near_messages = st.sampled_from(
    [
        request_line(Request(1, "segment", Path("/tmp/x"), {"a": [1, None]})),
        cancel_line(Cancel(7)),
        reply_line(Reply(1, "progress", {"stage": "x"})),
        b'{"id": 1, "event": "' + b"\xff" * 3 + b'"}\n',
    ]
)


@given(st.binary() | near_messages.flatmap(lambda m: st.integers(0, len(m)).map(lambda n: m[:n])))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"id": ' + b"9" * 10_000 + b"}")
@example(b'{"id": {}, "event": []}')
@example("\N{SNOWMAN}".encode("utf-16"))
@example(b"null")
def test_no_bytes_break_the_parser(line: bytes) -> None:
    for message in (parse_order(line), parse_reply(line)):
        assert message is None or isinstance(message, (Request, Cancel, Reply))


def test_orders_come_back_as_they_were_said() -> None:
    request = Request(3, "segment", Path("/tmp/hybridseg-1"), {"volume": {"name": "Leber ü\n"}})
    assert parse_order(request_line(request)) == request
    assert parse_order(cancel_line(Cancel(3))) == Cancel(3)
    assert request_line(request).count(b"\n") == 1


def test_a_request_is_no_reply_and_a_reply_no_request() -> None:
    assert parse_reply(request_line(Request(3, "segment", Path("x"), {}))) is None
    assert parse_order(reply_line(Reply(3, "cancelled"))) is None
    assert parse_reply(b'{"id": 3, "event": "party"}') is None


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Progress("Segmenting", 3, 8, 1.5), "progress"),
        (Note("It is oblique."), "note"),
        (Metric("loss", float("inf"), 4), "metric"),
        (Result({"dice": (0.5, None)}), "result"),
    ],
)
def test_every_event_comes_back(event: object, name: str) -> None:
    reply = parse_reply(reply_line(reply_for_event(5, event, str)))  # type: ignore[arg-type]
    assert reply is not None
    assert (reply.id, reply.event) == (5, name)
    assert reply.is_ending == (name == "result")
    assert event_of_reply(reply, lambda name: np.zeros(1)) == event


def test_a_region_comes_back_with_its_labels() -> None:
    labels = np.ones((1, 2, 2), np.uint8)
    reply = reply_for_event(1, RegionDone((4, 0, 0), labels), lambda array: "a.npy")
    event = event_of_reply(reply, {"a.npy": labels}.__getitem__)
    assert isinstance(event, RegionDone)
    assert event.start == (4, 0, 0)
    assert event.labels is labels


def test_an_event_with_other_fields_is_refused() -> None:
    with pytest.raises(CodecError, match="progress"):
        event_of_reply(Reply(1, "progress", {"percent": 3}), lambda name: np.zeros(1))


@pytest.mark.parametrize("wish", ["finish", "pause", "go on"])
def test_a_wish_comes_back_as_it_was_said(wish: Any) -> None:
    assert parse_order(steer_line(Steer(4, wish))) == Steer(4, wish)
    assert parse_order(b'{"steer": 4, "wish": "dance"}') is None
