"""Make sample volumes: CT-like torsos with reference label maps, from a seed.

Examples
--------
One patient on one scanner, or a training set from both scanners mixed::

    python sample_data/make_phantom.py --seed 7 --out somewhere --scanner B
    python sample_data/make_phantom.py --dataset somewhere --count 24 --first-seed 1

The committed volumes::

    python sample_data/make_phantom.py --committed
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from torso_phantom import ORGANS, SCANNERS, Acquisition, acquire, make_anatomy

from napari_hybridseg.atomic import atomic_path, write_text

COMMITTED_SEED = 2026
COMMITTED_FOLDER = Path(__file__).resolve().parent / "volumes"
SUFFIX = {"A": ".nii.gz", "B": ".nrrd"}
HELD_OUT_EVERY = 4
SCHEME_NAME = "Sample torso"

_log = logging.getLogger(__name__)


def label_scheme() -> dict[str, Any]:
    """Give the label scheme as it is written to labels.json."""
    return {"name": SCHEME_NAME, "labels": [asdict(organ) for organ in ORGANS]}


def write_acquisition(acquisition: Acquisition, image: Path, reference: Path) -> None:
    """Write a volume (int16 HU) and its reference (uint8), compressed and atomically.

    Parameters
    ----------
    acquisition : Acquisition
        What to write.
    image, reference : Path
        Where to; the names' endings choose the format.
    """
    for array, path in ((acquisition.image, image), (acquisition.reference, reference)):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing(acquisition.scanner.spacing)
        picture.SetOrigin(acquisition.scanner.origin.tolist())
        picture.SetDirection(acquisition.scanner.direction.ravel().tolist())
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=True) as draft:
            sitk.WriteImage(picture, str(draft), useCompression=True)


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON atomically, readable and with a newline at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=2) + "\n", overwrite=True)


def make_sample(seed: int, out: Path, scanners: Iterable[str], name: str) -> Iterator[Path]:
    """Write one patient as NAME_a.nii.gz and/or NAME_b.nrrd, each with its reference.

    Yields
    ------
    Path
        Each image as soon as it and its reference are written.
    """
    anatomy = make_anatomy(seed)
    for scanner in scanners:
        stem, suffix = f"{name}_{scanner.lower()}", SUFFIX[scanner]
        image = out / f"{stem}{suffix}"
        acquisition = acquire(anatomy, SCANNERS[scanner])
        write_acquisition(acquisition, image, out / f"{stem}_reference{suffix}")
        yield image
    write_json(label_scheme(), out / "labels.json")


def make_dataset(out: Path, seeds: Iterable[int]) -> Path:
    """Write a training set in the Medical Segmentation Decathlon's layout.

    Every patient is scanned once, by scanner A and B in turn; every fourth is held out.

    Parameters
    ----------
    out : Path
        Gets images/, labels/, labels.json and dataset.json.
    seeds : iterable of int
        The patients, all different.

    Returns
    -------
    Path
        The dataset.json; its paths are relative to `out`, and it is written last.

    Raises
    ------
    ValueError
        If no seed is given, one is given twice, or one is the committed patient's.
    """
    patients = list(seeds)
    if not patients or len(set(patients)) != len(patients):
        raise ValueError("a data set needs at least one seed and each seed once")
    if COMMITTED_SEED in patients:
        raise ValueError(
            f"seed {COMMITTED_SEED} is the committed sample, which no model may train on: "
            "choose other seeds"
        )
    cases: dict[str, list[dict[str, str]]] = {"train": [], "heldout": []}
    for number, seed in enumerate(patients):
        case = _make_case(out, seed, "AB"[number % 2])
        held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 - (number // HELD_OUT_EVERY) % 2
        cases["heldout" if held_out else "train"].append(case)
        _log.info("%d of %d: %s", number + 1, len(patients), case["image"])
    write_json(label_scheme(), out / "labels.json")
    path = out / "dataset.json"
    write_json(_dataset_card(cases), path)
    return path


def _make_case(out: Path, seed: int, scanner: str) -> dict[str, str]:
    file = f"torso_{seed:04d}{SUFFIX[scanner]}"
    case = {"image": f"images/{file}", "label": f"labels/{file}"}
    acquisition = acquire(make_anatomy(seed), SCANNERS[scanner])
    write_acquisition(acquisition, out / case["image"], out / case["label"])
    return case


def _dataset_card(cases: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    return {
        "name": SCHEME_NAME,
        "description": "Made-up CT-like torsos; sample_data/make_phantom.py of napari-hybridseg",
        "licence": "CC0-1.0",
        "modality": {"0": "CT"},
        "labels": {"background": 0} | {organ.name: organ.id for organ in ORGANS},
        **cases,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="make the patient of this seed")
    what.add_argument("--dataset", type=Path, metavar="DIR", help="make a training set here")
    what.add_argument("--committed", action="store_true", help="remake the committed volumes")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="with --seed")
    parser.add_argument("--scanner", choices=sorted(SCANNERS), help="with --seed; both if left out")
    parser.add_argument("--name", default="torso", help="with --seed: how file names begin")
    parser.add_argument("--count", type=int, default=24, help="with --dataset: patients")
    parser.add_argument("--first-seed", type=int, default=1, help="with --dataset")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.dataset is not None:
            seeds = range(options.first_seed, options.first_seed + options.count)
            _log.info("wrote %s", make_dataset(options.dataset, seeds))
            return 0
        seed = COMMITTED_SEED if options.committed else options.seed
        out = COMMITTED_FOLDER if options.committed else options.out
        scanners = [options.scanner] if options.scanner else sorted(SCANNERS)
        for path in make_sample(seed, out, scanners, options.name):
            _log.info("wrote %s", path)
    except ValueError as problem:
        parser.error(str(problem))
    return 0


if __name__ == "__main__":
    sys.exit(main())
