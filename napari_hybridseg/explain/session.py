"""One network and one volume, ready to be looked into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hybridseg.explain.cells import ONE, Cells, Windows
from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.explain.places import Place
from napari_hybridseg.explain.products import HeatMap, Scale, WindowBox
from napari_hybridseg.explain.views import ExplainError, View
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference.preprocess import Prepared
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.labels import Organ
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume


@dataclass(frozen=True, eq=False)
class Session:
    """What every view works with.

    Attributes
    ----------
    volume, card, network, options
        What is looked at, and how; the network is in evaluation mode on ``device``.
    prepared : Prepared
        The volume as the network sees it.
    view : View
    place : Place or None
    """

    volume: Volume
    card: ModelCard
    network: nn.Module
    device: torch.device
    prepared: Prepared
    options: ExplainOptions
    view: View
    place: Place | None

    @property
    def here(self) -> Place:
        """The place, for views that always have one."""
        if self.place is None:
            raise ExplainError(f"{self.view.name!r} needs a place in the network.")
        return self.place

    @property
    def importance_kind(self) -> str:
        """How overlapping windows are weighed."""
        return self.options.importance or self.card.windows.importance

    @property
    def point(self) -> NDArray[np.float64]:
        """The clicked place, LPS millimetres (x, y, z), in the volume."""
        if self.options.point is None:
            raise ExplainError(
                f"{self.view.name!r} is about one voxel; give a point in LPS millimetres."
            )
        point = np.asarray(self.options.point, dtype=np.float64)
        index = self.volume.geometry.index(point)
        if (index < -0.5).any() or (index > np.asarray(self.volume.geometry.shape) - 0.5).any():
            said = ", ".join(f"{value:g}" for value in point)
            raise ExplainError(
                f"The point ({said}) mm lies outside {self.volume.name}; points are in LPS "
                "millimetres (x to the left, y to the back, z to the head)."
            )
        return point

    def stride3(self, stride: tuple[int, ...]) -> Shape:
        """Give a place's stride for windows (Z, Y, X), where a 2D network has no third axis."""
        axis = self.card.windows.slice_axis
        full = list(stride)
        if axis is not None and len(full) == 2:
            full.insert(axis, 1)
        z, y, x = full
        return z, y, x

    def cells(self, stride: Shape = ONE) -> Cells:
        """Lay the windows."""
        overlap = self.options.overlap
        windows = self.card.windows
        return Cells.laid(
            self.prepared.working.shape,
            windows.size,
            windows.overlap if overlap is None else overlap,
            stride,
        )

    def image(self, plan: Windows) -> Tensor:
        """Give the prepared volume, (C, Z, Y, X), padded for a plan; it stays on the CPU."""
        array = self.prepared.array
        if array.shape[1:] != plan.padded:
            missing = [
                (before, padded - before - n)
                for before, padded, n in zip(plan.before, plan.padded, array.shape[1:], strict=True)
            ]
            array = np.pad(array, [(0, 0), *missing])
        return torch.from_numpy(np.ascontiguousarray(array))

    def window(self, image: Tensor, start: Shape, plan: Windows) -> Tensor:
        """Cut one window (1, C, Z, Y, X) out, onto the device."""
        z, y, x = (slice(s, s + n) for s, n in zip(start, plan.window, strict=True))
        return image[:, z, y, x][None].to(self.device)

    def run(self, window: Tensor) -> Tensor:
        """Give the logits (1, K, Z, Y, X) of a window (1, C, Z, Y, X), with or without gradient."""
        axis = self.card.windows.slice_axis
        if axis is None:
            logits: Tensor = self.network(window)
            return logits
        return self.network(window.squeeze(axis + 2)).unsqueeze(axis + 2)

    def nearest_window(self, plan: Windows) -> Shape:
        """Give the start of the window whose centre is nearest to the point, in millimetres."""
        wanted = self.point_in(plan)
        starts = np.asarray(plan.starts, dtype=np.float64)
        centres = starts + (np.asarray(plan.window) - 1) / 2
        away = (centres - wanted) * np.asarray(self.prepared.working.spacing_zyx)
        inside = (wanted >= starts - 0.5) & (wanted <= starts + np.asarray(plan.window) - 0.5)
        distance = np.where(inside.all(axis=1), np.linalg.norm(away, axis=1), np.inf)
        return plan.starts[int(distance.argmin())]

    def point_in(self, plan: Windows) -> NDArray[np.float64]:
        """Give the point as a fractional voxel (Z, Y, X) of the padded array."""
        working = self.prepared.working
        inside = working.index(self.point)
        if (inside < -0.5).any() or (inside > np.asarray(working.shape) - 0.5).any():
            raise ExplainError(
                "The point lies where the volume is empty, which this checkpoint leaves out; "
                "choose one inside the patient."
            )
        return np.clip(inside, 0, np.asarray(working.shape) - 1) + np.asarray(plan.before)

    def voxel_in_window(self, plan: Windows, start: Shape) -> Shape:
        """Give the point as a voxel (Z, Y, X) of a window."""
        place = np.rint(self.point_in(plan)) - np.asarray(start)
        z, y, x = np.clip(place, 0, np.asarray(plan.window) - 1).astype(int)
        return int(z), int(y), int(x)

    def cell_in_window(self, plan: Windows, start: Shape, stride: Shape) -> Shape:
        """Give the cell (Z, Y, X) of a window that the point is in."""
        voxel = self.voxel_in_window(plan, start)
        z, y, x = (v // s for v, s in zip(voxel, stride, strict=True))
        return z, y, x

    def to_mm(self, plan: Windows, start: Shape, place: NDArray[np.floating]) -> NDArray:
        """Turn (..., 3) fractional voxels (Z, Y, X) of a window into LPS millimetres."""
        working = np.asarray(place) + np.asarray(start) - np.asarray(plan.before)
        return self.prepared.working.world(working)

    def box(self, plan: Windows, start: Shape) -> WindowBox:
        """Describe where a window lies in the patient."""
        ends = [(-0.5, size - 0.5) for size in plan.window]
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        corners_mm = self.to_mm(plan, start, corners)
        index = self.volume.geometry.index(corners_mm)
        low, high = (tuple(float(v) for v in edge) for edge in (index.min(0), index.max(0)))
        return WindowBox(corners_mm, low, high)  # type: ignore[arg-type]

    def geometry_of(self, plan: Windows) -> Geometry:
        """Describe the padded array's grid."""
        first = self.prepared.working.world(-np.asarray(plan.before, dtype=np.float64))
        z, y, x = plan.padded
        return replace(self.prepared.working, size=(x, y, z), origin=tuple(first))

    def organ(self) -> tuple[int, Organ]:
        """Give the output channel and the organ that was asked for."""
        organs = self.card.labels.organs
        for channel, organ in enumerate(organs, 1):
            if organ.id == self.options.organ:
                return channel, organ
        known = ", ".join(f"{organ.id} {organ.name}" for organ in organs)
        raise ExplainError(
            f"{self.view.name!r} is about one organ, and {self.card.name} has no organ with the "
            f"number {self.options.organ}; choose one of: {known}."
            if self.options.organ is not None
            else f"{self.view.name!r} is about one organ; choose one of: {known}."
        )

    def head(self) -> int | None:
        """Give the head, checked."""
        head, heads = self.options.head, self.here.heads
        if head is not None and head >= heads:
            raise ExplainError(
                f"{self.here.name} has {heads} heads, numbered 0 to {heads - 1}; there is no head "
                f"{head}."
            )
        return head

    def token(self) -> int:
        """Give the semantic token, checked."""
        token, tokens = self.options.token, self.here.tokens
        if token >= tokens:
            raise ExplainError(
                f"{self.here.name} has {tokens} tokens, numbered 0 to {tokens - 1}; there is no "
                f"token {token}."
            )
        return token

    def title(self, *parts: str) -> str:
        """Name a product: architecture, place, and what else matters."""
        where = [] if self.place is None else [self.place.title]
        return ", ".join([self.card.architecture, *where, *parts])

    def head_name(self) -> str:
        """Name the choice of head."""
        return "all heads" if self.options.head is None else f"head {self.options.head}"

    def heat_map(
        self,
        array: NDArray[np.float32],
        title: str,
        unit: str = "",
        *,
        scale: Scale = "sequential",
        limits: tuple[float, float] | None = None,
    ) -> HeatMap:
        """Put a canonical array (Z, Y, X) on the volume's grid."""
        if self.options.smooth and "smooth" in self.view.takes:
            title = f"{title}, interpolated"
        return HeatMap(
            geometry=self.volume.geometry,
            source=self.volume.source,
            array=array,
            title=title,
            unit=unit,
            scale=scale,
            limits=limits,
        )
