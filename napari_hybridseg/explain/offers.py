"""The views of each family of networks, with the places that they can be taken at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_hybridseg.explain import places
from napari_hybridseg.explain.places import Place
from napari_hybridseg.explain.view import View
from napari_hybridseg.model_card import ModelCard

_DEEPEST: Mapping[str, str] = {
    "bmha": "encoder.3",
    "deformable": "encoder.stages.2",
    "bifusion": "fuse_16",
}


def bmha_views(config: Mapping[str, Any], is_medformer: bool) -> list[View]:
    """Give the views of bidirectional attention and its semantic tokens."""
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


def fusion_view(config: Mapping[str, Any]) -> View:
    """Give the view of the transformer that mixes the maps of three scales."""
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


def deformable_views(config: Mapping[str, Any]) -> list[View]:
    """Give the views of deformable attention."""
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


def bifusion_views() -> list[View]:
    """Give the views of BiFusion."""
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


def gate_view(gates: tuple[Place, ...]) -> View:
    """Give the view of attention gates."""
    return View(
        name="attention-gate",
        title="Attention gate",
        description="Where the gated skip connection lets features through, slice by slice.",
        gives="map",
        takes=("place", "smooth"),
        places=gates,
        default_place=gates[0].name,
    )


def vit_views(config: Mapping[str, Any]) -> list[View]:
    """Give the views of a vision transformer."""
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


def views_of_all(card: ModelCard, kinds: tuple[str, ...]) -> list[View]:
    """Give what every network offers."""
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
            takes=("threshold",),
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
            description="Regions of high entropy, the most uncertain first.",
            gives="regions",
            takes=("threshold", "smallest_ml", "apart_mm"),
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
