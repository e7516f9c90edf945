"""The explanation job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from napari_hybridseg import __version__
from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Note, Progress, Result
from napari_hybridseg.explain import (
    bmha_views,
    deformable_views,
    gradients,
    token_organs,
    token_relations,
    transfuse_views,
    uncertainty,
)
from napari_hybridseg.explain.findings import Run
from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.explain.products import Explanation
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.views import ExplainError, View, find_place, find_view
from napari_hybridseg.inference.devices import cpu_threads, pick_device
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import Volume, VolumeError

RUNS: Mapping[str, Callable[[Session], Run]] = {
    "token-map": bmha_views.token_map,
    "winning-token": bmha_views.winning_token,
    "voxel-tokens": bmha_views.voxel_tokens,
    "token-organs": token_organs.token_organs,
    "token-similarity": token_relations.token_similarity,
    "fusion-attention": token_relations.fusion_attention,
    "sampling-points": deformable_views.sampling_points,
    "influence": deformable_views.influence,
    "spatial-attention": transfuse_views.spatial_attention,
    "channel-attention": transfuse_views.channel_attention,
    "attention-gate": transfuse_views.attention_gate,
    "attention-rollout": transfuse_views.attention_rollout,
    "patch-attention": transfuse_views.patch_attention,
    "entropy": uncertainty.entropy,
    "margin": uncertainty.margin,
    "mirror-disagreement": uncertainty.mirror_disagreement,
    "uncertain-regions": uncertainty.regions_of_doubt,
    "receptive-field": gradients.receptive_field,
    "grad-cam": gradients.grad_cam,
    "integrated-gradients": gradients.integrated_gradients,
}


def explain(
    volume: Volume,
    checkpoint: Checkpoint,
    options: ExplainOptions | None = None,
    *,
    network: nn.Module | None = None,
) -> Iterator[Event]:
    """Show one view of what a checkpoint's network sees in a volume.

    It calculates with float32, whatever a segmentation would take, so that what is shown is
    exact. Maps are blended from overlapping windows as logits are.

    Parameters
    ----------
    volume : Volume
        The image.
    checkpoint : Checkpoint
        Its card says how the image is prepared and what can be shown (``views_of``).
    options : ExplainOptions
        The view, and the choices that it takes.
    network : Module, optional
        The checkpoint's network, where the caller keeps it built.

    Yields
    ------
    Event
        ``Progress`` and ``Note`` as they come, and as the last one ``Result`` with an
        :class:`Explanation`. Closing the generator cancels within one window.

    Raises
    ------
    ExplainError
        If the network does not offer the view, or a choice is missing or not possible.
    VolumeError
        If the volume does not fit the checkpoint.
    CheckpointError, DeviceError
        If the weights or the device cannot be used.
    """
    options = options or ExplainOptions()
    card = checkpoint.card
    view = find_view(card, options.view)
    place = find_place(view, options.place)
    options = options.model_copy(update={"place": place.name if place else None})
    _check(volume, card, view, options)
    with cpu_threads(options.threads):
        yield Progress("Preparing", 0, 1)
        device = pick_device(options.device)
        prepared = prepare(volume, card.preprocessing)
        for note in prepared.notes:
            yield Note(note)
        built = network if network is not None else checkpoint.build_network()
        session = Session(
            volume, card, built.to(device).eval(), device, prepared, options, view, place
        )
        findings = yield from RUNS[view.name](session)
    yield Result(
        Explanation(
            view=view,
            options=options,
            products=findings.products,
            provenance=_provenance(session),
            window=findings.window,
            facts=findings.facts,
            notes=findings.notes,
        )
    )


def _check(volume: Volume, card: ModelCard, view: View, options: ExplainOptions) -> None:
    if volume.array.shape[0] != card.in_channels:
        raise VolumeError(
            f"{volume.name} has {volume.array.shape[0]} channels, and {card.name} was trained on "
            f"{card.in_channels}; choose a volume with {card.in_channels}."
        )
    for need in view.needs:
        if getattr(options, need) is None:
            said = {"point": "a point in LPS millimetres", "organ": "the number of an organ"}
            organs = ", ".join(f"{organ.id} {organ.name}" for organ in card.labels.organs)
            more = f" ({organs})" if need == "organ" else ""
            raise ExplainError(f"{view.name!r} needs {said.get(need, need)}{more}; give one.")


def _provenance(session: Session) -> str:
    parts = [session.card.name, session.view.title]
    if session.place is not None:
        parts.append(session.place.name)
    if session.options.point is not None and "point" in session.view.choices:
        parts.append("at ({:.1f}, {:.1f}, {:.1f}) mm LPS".format(*session.options.point))
    return " · ".join([*parts, session.volume.name, f"napari-hybridseg {__version__}"])
