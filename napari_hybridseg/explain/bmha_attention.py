"""What a block of bidirectional multi-head attention gives to look at, and how it is called.

Gao et al., arXiv 2203.00131v2, section 3.2: one matrix of logits, two softmaxes.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from napari_hybridseg.explain.capture import Keep, summing_to_one
from napari_hybridseg.explain.places import Place
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.views import ExplainError

UNITS = {
    "map-to-token": "share of the token's attention, per cell of a window",
    "token-to-map": "share of the voxel's attention",
}


def attention_wish(place: Place, direction: str, head: int | None) -> tuple[str, Keep]:
    """Give the submodule that has a block's attention, and what to keep of its output.

    What is kept has the shape (positions, tokens): of one head, or the mean of all. Before that
    the weights are checked to sum to 1, over tokens (``token-to-map``) or over positions
    (``map-to-token``).
    """
    if place.name.endswith(".pooling"):
        return place.module, _pooling
    name = direction.replace("-", "_")
    return f"{place.module}.attention.{name}", partial(
        _attention, dim=-1 if direction == "token-to-map" else -2, head=head
    )


def direction_of(session: Session) -> str:
    """Give the direction that was asked for, checked."""
    direction = session.options.direction
    if session.here.name.endswith(".pooling") and direction != "map-to-token":
        raise ExplainError(
            f"{session.here.name} only gathers into the map; choose the direction 'map-to-token', "
            "or an attention block."
        )
    return direction


def one_head(weights: Tensor, head: int | None) -> Tensor:
    """Give one head of (heads, ...), or the mean of all."""
    return weights.mean(dim=0) if head is None else weights[head]


def token_names(count: int) -> tuple[str, ...]:
    """Name semantic tokens by their numbers."""
    return tuple(str(number) for number in range(count))


def _attention(output: Tensor, dim: int, head: int | None) -> Tensor:
    return one_head(summing_to_one(output, dim)[0], head)


def _pooling(output: Tensor) -> Tensor:
    return summing_to_one(output, -1)[0].T
