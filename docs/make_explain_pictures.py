"""Make the pictures of docs/explain.md: ``python docs/make_explain_pictures.py [NAME ...]``.

They show a volume of the hippocampus data that no network was trained on, so that data has to lie
beside the checkout. A picture whose checkpoint is not there yet is left out, and said.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.explain import ExplainOptions, explain
from napari_hybridseg.explain.figures import panel_figure, save_figure
from napari_hybridseg.volume import load_volume

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "hippocampus_msd04" / "images"
HELD_OUT = "hippocampus_004.nii.gz"
IN_ANTERIOR = (-18.0, -38.0, 13.0)
ANTERIOR = 1


# shown where they are strongest; all others in the middle of the anterior hippocampus
_WHERE_STRONGEST = ("uncertain-regions", "influence", "mirror-disagreement")


class Picture(NamedTuple):
    """One picture: whose network, which view, which of its products."""

    name: str
    checkpoint: str
    view: str
    options: dict[str, Any]
    product: int = 0


_MED, _COTR, _FUSE = "hippocampus-medformer-3d", "hippocampus-cotr", "hippocampus-transfuse-s"
_UX = "hippocampus-uxnet-3d"
PICTURES = (
    Picture("token-map", _MED, "token-map", {"place": "up2.0", "token": 27}),
    Picture("token-map-smooth", _MED, "token-map", {"place": "up2.0", "token": 27, "smooth": True}),
    Picture("winning-token", _MED, "winning-token", {"place": "up2.0"}),
    Picture("voxel-tokens", _MED, "voxel-tokens", {"place": "up2.0", "point": IN_ANTERIOR}),
    Picture("token-organs", _MED, "token-organs", {"place": "up2.0"}),
    Picture("token-similarity", _MED, "token-similarity", {"place": "up2.0"}),
    Picture("fusion-attention", _MED, "fusion-attention", {}),
    Picture("fusion-scales", _MED, "fusion-attention", {}, 1),
    Picture("sampling-points", _COTR, "sampling-points", {"point": IN_ANTERIOR}),
    Picture("influence", _COTR, "influence", {"organ": ANTERIOR}),
    Picture("spatial-attention", _FUSE, "spatial-attention", {}),
    Picture("channel-attention", _FUSE, "channel-attention", {"point": IN_ANTERIOR}),
    Picture("attention-gate", _FUSE, "attention-gate", {}),
    Picture("attention-rollout", _FUSE, "attention-rollout", {"point": IN_ANTERIOR}),
    Picture("patch-attention", _FUSE, "patch-attention", {"point": IN_ANTERIOR}),
    Picture("entropy", _MED, "entropy", {}),
    Picture("margin", _MED, "margin", {}),
    Picture("mirror-disagreement", _MED, "mirror-disagreement", {}),
    Picture("uncertain-regions", _MED, "uncertain-regions", {}),
    Picture("receptive-field", _MED, "receptive-field", {"point": IN_ANTERIOR}),
    Picture("receptive-field-uxnet", _UX, "receptive-field", {"point": IN_ANTERIOR}),
    Picture("grad-cam", _MED, "grad-cam", {"organ": ANTERIOR}),
    Picture("integrated-gradients", _MED, "integrated-gradients", {"organ": ANTERIOR}),
)


def main(wished: list[str]) -> None:
    """Make the pictures, or those that are named."""
    torch.set_num_threads(1)
    volume = load_volume(DATA / HELD_OUT)
    networks: dict[str, Any] = {}
    for picture in PICTURES:
        if wished and picture.name not in wished:
            continue
        places = (ROOT / "sample_data" / "checkpoints", ROOT / "runs")
        files = [folder / f"{picture.checkpoint}.safetensors" for folder in places]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            sys.stderr.write(f"{picture.name}: there is no {picture.checkpoint} yet\n")
            continue
        checkpoint = load_checkpoint(file)
        if picture.checkpoint not in networks:
            networks[picture.checkpoint] = checkpoint.build_network()
        options = ExplainOptions(view=picture.view, device="cpu", **picture.options)
        network = networks[picture.checkpoint]
        *_, last = explain(volume, checkpoint, options, network=network)
        assert isinstance(last, Result)
        found = last.value
        focus = None if picture.view in _WHERE_STRONGEST else IN_ANTERIOR
        figure = panel_figure(volume, found, found.products[picture.product], focus_mm=focus)
        path = ROOT / "docs" / "images" / f"explain-{picture.name}.png"
        save_figure(figure, path, overwrite=True)
        facts = "; ".join(f"{name} {value:.3g}" for name, value in found.facts.items())
        sys.stderr.write(f"{path.name}: {facts} {' '.join(found.notes)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
