"""What a score is: one row an organ, and their mean."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from napari_hybridseg.metrics.distances import Convention
from napari_hybridseg.older_python import zip

Status = Literal["scored", "absent in both", "missed", "not in reference"]

_AVERAGED = ("dice", "iou", "hd95_mm", "hd100_mm", "assd_mm", "nsd")


class OrganScore(BaseModel):
    """How well one organ was segmented.

    Attributes
    ----------
    label, name
        The organ.
    status
        "scored": both maps have it. "missed": only the reference has it; Dice, IoU and NSD
        are 0 and there are no distances. "not in reference": only the prediction has it;
        the same. "absent in both": nothing to score, all None but the volumes.
    dice, iou, nsd
        From 0 to 1. NSD counts border voxels within the report's tolerance.
    hd95_mm, hd100_mm, assd_mm
        Distances between the borders in millimetres, see `distances.summarise_distances`.
        None where one of the maps does not have the organ: no number would be true.
    volume_ml, reference_volume_ml
        In the prediction and in the reference.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: int
    name: str
    status: Status
    dice: float | None = None
    iou: float | None = None
    hd95_mm: float | None = None
    hd100_mm: float | None = None
    assd_mm: float | None = None
    nsd: float | None = None
    volume_ml: float
    reference_volume_ml: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def volume_difference_ml(self) -> float:
        """Prediction minus reference."""
        return self.volume_ml - self.reference_volume_ml

    @computed_field  # type: ignore[prop-decorator]
    @property
    def volume_difference_percent(self) -> float | None:
        """Prediction minus reference, in percent of the reference; None where that is empty."""
        if not self.reference_volume_ml:
            return None
        return 100 * self.volume_difference_ml / self.reference_volume_ml


class ScoreReport(BaseModel):
    """The scores of all organs of one case.

    The means go over the organs that have the number: an organ that is absent in both maps
    is in none of them; a missed organ and one that is not in the reference count as 0 in
    Dice, IoU and NSD and are left out of the distances, and `notes` says so.

    Attributes
    ----------
    organs : tuple of OrganScore
    convention
        What HD95 means, see `distances.summarise_distances`.
    tolerance_mm
        The tolerance of NSD.
    notes
        What a reader must know, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    organs: tuple[OrganScore, ...]
    convention: Convention
    tolerance_mm: float
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_dice(self) -> float | None:
        """Mean Dice; None without organs."""
        return _mean(organ.dice for organ in self.organs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_hd95_mm(self) -> float | None:
        """Mean HD95 of the organs that both maps have; None without any."""
        return _mean(organ.hd95_mm for organ in self.organs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_assd_mm(self) -> float | None:
        """Mean ASSD of the organs that both maps have; None without any."""
        return _mean(organ.assd_mm for organ in self.organs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_nsd(self) -> float | None:
        """Mean NSD; None without organs."""
        return _mean(organ.nsd for organ in self.organs)

    def organ(self, label: int) -> OrganScore:
        """Give the score of a label.

        Raises
        ------
        KeyError
            If the label was not asked for.
        """
        for organ in self.organs:
            if organ.label == label:
                return organ
        raise KeyError(label)

    def rows(self) -> list[dict[str, Any]]:
        """Give one dict an organ and a last one for the mean, all with the same keys.

        The mean row has no label and leaves the volumes empty.
        """
        rows = [organ.model_dump() for organ in self.organs]
        mean: dict[str, Any] = dict.fromkeys(_COLUMNS)
        mean.update({key: _mean(row[key] for row in rows) for key in _AVERAGED})
        mean["name"] = "mean"
        return [*rows, mean]

    def to_csv(self) -> str:
        """Write the rows as comma-separated text.

        The convention of HD95 and the tolerance of NSD are columns of their own, so that a
        number never travels without them; what is not known is an empty cell.
        """
        return _csv([*_COLUMNS, *_RULES], self._ruled_rows())

    def to_json(self) -> str:
        """Write everything as JSON; `ScoreReport.model_validate_json` reads it back."""
        return self.model_dump_json(indent=1)

    def _ruled_rows(self) -> list[dict[str, Any]]:
        rules = dict(zip(_RULES, (self.convention, self.tolerance_mm), strict=True))
        return [row | rules for row in self.rows()]


def compared_csv(reports: Mapping[str, ScoreReport]) -> str:
    """Write the rows of several label maps below each other; the last column says whose."""
    rows = [
        row | {"label_map": name}
        for name, report in reports.items()
        for row in report._ruled_rows()
    ]
    return _csv([*_COLUMNS, *_RULES, "label_map"], rows)


def compared_json(reports: Mapping[str, ScoreReport]) -> str:
    """Write the reports of several label maps as a JSON list; each says whose it is."""
    told = [{"label_map": name} | r.model_dump(mode="json") for name, r in reports.items()]
    return json.dumps(told, indent=1, ensure_ascii=False)


_COLUMNS = (*OrganScore.model_fields, *OrganScore.model_computed_fields)
_RULES = ("hd95_convention", "nsd_tolerance_mm")


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
