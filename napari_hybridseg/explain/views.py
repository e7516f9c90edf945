"""The views that a checkpoint offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_hybridseg.explain import offers, places
from napari_hybridseg.explain.places import Place
from napari_hybridseg.explain.view import ExplainError, View
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks.registry import explanations_of, get_architecture

__all__ = ["ExplainError", "Place", "View", "find_place", "find_view", "views_of"]

_USED_KEYS: Mapping[str, tuple[str, ...]] = {
    "bmha": ("map_size", "attention_blocks", "scales", "heads"),
    "fusion": ("map_size", "scales", "fusion_heads", "fusion_depth"),
    "deformable": ("heads", "layers", "points"),
    "vit": ("depth", "num_heads"),
}


def views_of(card: ModelCard) -> tuple[View, ...]:
    """Give what can be shown of a checkpoint's network, its own kind of views first.

    Imports torch only for a third party's architecture, or a card that leaves settings out.

    Raises
    ------
    ArchitectureError
        If this installation has no such architecture.
    """
    kinds = explanations_of(card.architecture)
    config = _full_config(card, {key for kind in kinds for key in _USED_KEYS.get(kind, ())})
    # a third party may claim a kind of view without having the layout of our networks
    kinds = tuple(kind for kind in kinds if set(_USED_KEYS.get(kind, ())) <= set(config))
    views: list[View] = []
    if "bmha" in kinds:
        views += offers.bmha_views(config, card.architecture.startswith("medformer"))
    if "fusion" in kinds and config["fusion_depth"]:
        views.append(offers.fusion_view(config))
    if "deformable" in kinds:
        views += offers.deformable_views(config)
    if "bifusion" in kinds:
        views += offers.bifusion_views()
    if "attention-gate" in kinds:
        views.append(
            offers.gate_view(places.unet_gates(config) if "strides" in config else places.gates())
        )
    if "vit" in kinds:
        views += offers.vit_views(config)
    views += offers.views_of_all(card, kinds)
    return tuple(views)


def find_view(card: ModelCard, name: str) -> View:
    """Look a view up by name.

    Raises
    ------
    ExplainError
        If the network does not offer it; the message says what it does.
    """
    offered = views_of(card)
    for view in offered:
        if view.name == name:
            return view
    raise ExplainError(
        f"{card.name} ({card.architecture}) does not offer {name!r}; it offers: "
        f"{', '.join(view.name for view in offered)}."
    )


def find_place(view: View, name: str | None) -> Place | None:
    """Look a place of a view up by name; None is the default, or no place at all.

    Raises
    ------
    ExplainError
        If the view cannot be taken there; the message says where it can.
    """
    wish = name or view.default_place
    for place in view.places:
        if place.name == wish:
            return place
    if not name:
        return None
    known = ", ".join(place.name for place in view.places) or "it has no places to choose from"
    raise ExplainError(f"{view.name!r} has no place {name!r}; choose one of: {known}.")


def _full_config(card: ModelCard, keys: set[str]) -> Mapping[str, Any]:
    if keys <= set(card.config):
        return card.config
    return get_architecture(card.architecture).make_config(card.config).model_dump()
