"""The views that a checkpoint offers, as data from which faces and the command line are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.explain import places
from napari_hybridseg.explain.places import Place
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks.registry import explanations_of, get_architecture

__all__ = ["ExplainError", "Place", "View", "find_place", "find_view", "views_of"]

Gives = Literal["map", "labels", "bars", "matrix", "points", "regions"]
Choice = Literal[
    "place", "head", "token", "direction", "point", "organ", "level", "smooth", "steps", "threshold"
]
_USED_KEYS: Mapping[str, tuple[str, ...]] = {
    "bmha": ("map_size", "attention_blocks", "scales", "heads"),
    "fusion": ("map_size", "scales", "fusion_heads", "fusion_depth"),
    "deformable": ("heads", "layers", "points"),
    "vit": ("depth", "num_heads"),
}
_DEEPEST: Mapping[str, str] = {
    "bmha": "encoder.3",
    "deformable": "encoder.stages.2",
    "bifusion": "fuse_16",
}


class ExplainError(HybridSegError):
    """A view that a network does not offer, or that cannot be made of this volume."""


class View(BaseModel):
    """One thing that can be shown of a network.

    Attributes
    ----------
    name : str
        What an option takes, e.g. ``"token-map"``.
    title, description : str
        What a person reads.
    gives : str
        What the main product is: the picture or chart that a face needs for it.
    needs : tuple of str
        Fields of ``ExplainOptions`` that must be given.
    takes : tuple of str
        Fields that may be given, beside those of ``needs``.
    places : tuple of Place
        What ``place`` may be; empty where there is nothing to choose.
    default_place : str
        What is taken where none is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str
    gives: Gives
    needs: tuple[Choice, ...] = ()
    takes: tuple[Choice, ...] = ()
    places: tuple[Place, ...] = ()
    default_place: str = ""


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
        views += _bmha_views(config, card.architecture.startswith("medformer"))
    if "fusion" in kinds and config["fusion_depth"]:
        views.append(_fusion_view(config))
    if "deformable" in kinds:
        views += _deformable_views(config)
    if "bifusion" in kinds:
        views += _bifusion_views()
    if "attention-gate" in kinds:
        views.append(
            _gate_view(places.unet_gates(config) if "strides" in config else places.gates())
        )
    if "vit" in kinds:
        views += _vit_views(config)
    views += _views_of_all(card, kinds)
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


def _bmha_views(config: Mapping[str, Any], is_medformer: bool) -> list[View]:
    blocks = places.attention_blocks(config)
    if not blocks:
        return []
    pooled = (*blocks, *places.map_poolings(config, is_medformer))
    last = blocks[-1].name
    return [
        View(
            name="token-map",
            title="One semantic token",
            description="Where one semantic token of the map gathers from, or which voxels read "
            "from it.",
            gives="map",
            takes=("place", "head", "token", "direction", "smooth"),
            places=pooled,
            default_place=last,
        ),
        View(
            name="winning-token",
            title="Winning token",
            description="The semantic token that each voxel reads from most, as a label map.",
            gives="labels",
            takes=("place", "head"),
            places=blocks,
            default_place=last,
        ),
        View(
            name="voxel-tokens",
            title="Tokens of a voxel",
            description="How much the clicked voxel reads from each semantic token.",
            gives="bars",
            needs=("point",),
            takes=("place", "head"),
            places=blocks,
            default_place=last,
        ),
        View(
            name="token-organs",
            title="Tokens and organs",
            description="How much of each token's attention lies inside each predicted organ.",
            gives="matrix",
            takes=("place", "head", "direction"),
            places=pooled,
            default_place=last,
        ),
        View(
            name="token-similarity",
            title="Likeness of tokens",
            description="The cosine between every two semantic tokens (the paper's Fig. 4c); of "
            "the clicked voxel's window, or the mean over all windows.",
            gives="matrix",
            takes=("place", "point"),
            places=blocks,
            default_place=last,
        ),
    ]


def _fusion_view(config: Mapping[str, Any]) -> View:
    layers = places.fusion_layers(config)
    return View(
        name="fusion-attention",
        title="Attention across scales",
        description="How the semantic maps of three scales read from each other in the fusion "
        "transformer; of the clicked voxel's window, or the mean over all windows.",
        gives="matrix",
        takes=("place", "head", "point"),
        places=layers,
        default_place=layers[0].name,
    )


def _deformable_views(config: Mapping[str, Any]) -> list[View]:
    layers = places.deformable_layers(config)
    return [
        View(
            name="sampling-points",
            title="Sampling points of a voxel",
            description="Where the clicked voxel's token samples: every head, level and point, "
            "with its weight.",
            gives="points",
            needs=("point",),
            takes=("place", "level"),
            places=layers,
            default_place=layers[-1].name,
        ),
        View(
            name="influence",
            title="Influence map of an organ",
            description="Where the tokens of all voxels of a predicted organ sample, with their "
            "weights.",
            gives="map",
            needs=("organ",),
            takes=("place", "head", "smooth"),
            places=layers,
            default_place=layers[-1].name,
        ),
    ]


def _bifusion_views() -> list[View]:
    scales = places.fusions()
    return [
        View(
            name="spatial-attention",
            title="BiFusion spatial attention",
            description="Where the fusion lets the convolutions' features through, slice by slice.",
            gives="map",
            takes=("place", "smooth"),
            places=scales,
            default_place=scales[0].name,
        ),
        View(
            name="channel-attention",
            title="BiFusion channel attention",
            description="Which of the transformer's channels the fusion lets through: of the "
            "clicked voxel's slice, or of every slice.",
            gives="bars",
            takes=("place", "point"),
            places=scales,
            default_place=scales[-1].name,
        ),
    ]


def _gate_view(gates: tuple[Place, ...]) -> View:
    return View(
        name="attention-gate",
        title="Attention gate",
        description="Where the gated skip connection lets features through, slice by slice.",
        gives="map",
        takes=("place", "smooth"),
        places=gates,
        default_place=gates[0].name,
    )


def _vit_views(config: Mapping[str, Any]) -> list[View]:
    blocks = places.transformer_blocks(config)
    return [
        View(
            name="attention-rollout",
            title="Attention rollout",
            description="The attention of all transformer blocks multiplied through: what the "
            "clicked patch draws on, or what each patch gives to all others.",
            gives="map",
            takes=("point", "smooth"),
        ),
        View(
            name="patch-attention",
            title="Attention of a patch",
            description="What the clicked voxel's patch attends to in one transformer block.",
            gives="map",
            needs=("point",),
            takes=("place", "head", "smooth"),
            places=blocks,
            default_place=blocks[-1].name,
        ),
    ]


def _views_of_all(card: ModelCard, kinds: tuple[str, ...]) -> list[View]:
    depths = [Place(name="last", title="The last features", module="")]
    depths += [
        Place(name="deepest", title="The deepest features", module=_DEEPEST[kind])
        for kind in kinds
        if kind in _DEEPEST
    ]
    views = [
        View(
            name="entropy",
            title="Entropy",
            description="How undecided the network is in each voxel: 0 is sure.",
            gives="map",
        ),
        View(
            name="margin",
            title="Margin",
            description="How far the likeliest organ is ahead of the second: 0 is a tie.",
            gives="map",
        ),
        View(
            name="uncertain-regions",
            title="Uncertain regions",
            description="Connected regions of high entropy, the most uncertain first.",
            gives="regions",
            takes=("threshold",),
        ),
        View(
            name="receptive-field",
            title="Effective receptive field",
            description="What the answer in the clicked voxel depends on: the size of its gradient "
            "in every voxel of the window.",
            gives="map",
            needs=("point",),
            takes=("organ",),
        ),
        View(
            name="grad-cam",
            title="Grad-CAM++",
            description="Which features speak for an organ (Chattopadhay et al. 2018), in a deep "
            "or the last feature map.",
            gives="map",
            needs=("organ",),
            takes=("place",),
            places=tuple(depths),
            default_place="last",
        ),
        View(
            name="integrated-gradients",
            title="Integrated gradients",
            description="Which voxels speak for (+) and against (-) an organ (Sundararajan et al. "
            "2017, through Captum).",
            gives="map",
            needs=("organ",),
            takes=("steps",),
        ),
    ]
    if card.windows.mirror_axes:
        views.append(
            View(
                name="mirror-disagreement",
                title="Disagreement of mirrored copies",
                description="How much the answers to mirrored copies of the image differ: the "
                "information between answer and mirroring.",
                gives="map",
            )
        )
    return views
