r"""What three corrected cases from another scanner teach, and what is forgotten.

    hybridseg train ../shared/data/hippocampus_msd04/dataset.json \
        -o runs/finetune/parent.safetensors \
        --options benchmarks/finetune_parent.json --threads 1       # once, ten minutes
    python benchmarks/finetune.py                                   # every strategy, both shifts
    python benchmarks/finetune.py --shifts strong --ways rehearsal scratch --seeds 0 1 2

The parent knows the first 40 ``train`` cases of the hippocampus data. Three others (the seed says
which), shifted as ``scanner_shift`` says, are the corrections; each way of fine-tuning is then
scored on the 30 ``heldout`` cases, shifted and as they are. A line that was measured is kept in
the work folder and not measured again. Times are CPU time of one
thread, without the scoring on held-out cases.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scanner_shift import Shift, write_shifted

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.finetune import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.job import finetune
from napari_hybridseg.training import TrainOptions
from napari_hybridseg.training.dataset import Case, Dataset, read_dataset
from napari_hybridseg.training.evaluate import evaluate
from napari_hybridseg.training.train import train

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared/data/hippocampus_msd04/dataset.json"
RECIPE = Path(__file__).with_name("finetune_parent.json")
PARENT_CASES, OLD_CASES, CORRECTIONS = 40, 12, 3
SCRATCH_STEPS = 300
NO_SCANNER = ScannerAugmentation(transfer=0, negative=0, histogram=0, bias=0, low_resolution=0)

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"strategy": "full", "pull": 0.0, "scanner": NO_SCANNER, "steps": 200},
    "rehearsal": {"strategy": "full", "rehearse": True},
    "l2": {"strategy": "full"},
    "decoder": {"strategy": "decoder"},
    "norms": {"strategy": "norms"},
    "norms-rehearsal": {"strategy": "norms", "rehearse": True},
}


def main() -> None:
    """Measure what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parent", type=Path, default=ROOT / "runs/finetune/parent.safetensors")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/finetune/bench")
    parser.add_argument("--shifts", nargs="+", default=["strong", "mild"])
    parser.add_argument("--ways", nargs="+", default=[*WAYS, "scratch"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cases", choices=("heldout", "validation"), default="heldout")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(arguments.parent, arguments.work, arguments.cases)
    for shift in arguments.shifts:
        rows = [("before", [bench.before(shift)])]
        for way in arguments.ways:
            rows.append((way, [bench.line(shift, way, seed) for seed in arguments.seeds]))
        show(shift, rows)


CLAIMED = (*WAYS, "scratch")
# where it says most, with three seeds, which choose the cases too
SEEDS = {
    ("strong", "rehearsal"): (0, 1, 2),
    ("strong", "scratch"): (0, 1, 2),
    ("mild", "rehearsal"): (0, 1, 2),
    ("strong", "norms"): (0, 1, 2),
    ("mild", "norms"): (0, 1, 2),
    ("strong", "l2"): (0, 1, 2),
    ("mild", "l2"): (0, 1, 2),
}


class Bench:
    """The data, and the lines that were measured."""

    def __init__(self, parent: Path, work: Path, cases: str) -> None:
        self._parent, self._work, self._cases = load_checkpoint(parent), work, cases
        self._data: Dataset = read_dataset(DATA)
        work.mkdir(parents=True, exist_ok=True)

    def before(self, shift: Shift) -> dict[str, float]:
        """Score the parent."""
        return self._kept(f"{shift}-before", lambda: self._scores(self._parent, shift))

    def line(self, shift: Shift, way: str, seed: int) -> dict[str, float]:
        """Fine-tune in one way, and score."""
        return self._kept(f"{shift}-{way}-{seed}", lambda: self._measure(shift, way, seed))

    def _kept(self, name: str, measure: Any) -> dict[str, float]:
        path = self._work / f"{self._cases}-{name}.json"
        if not path.is_file():
            path.write_text(json.dumps(measure()), encoding="utf-8")
        content: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        print(path.stem, {key: round(value, 4) for key, value in content.items()}, flush=True)
        return content

    def _measure(self, shift: Shift, way: str, seed: int) -> dict[str, float]:
        first = PARENT_CASES + CORRECTIONS * seed
        cases = self._data.train[first : first + CORRECTIONS]
        corrections = self._shifted(cases, shift, f"corrections-{seed}")
        out = self._work / f"{shift}-{way}-{seed}.safetensors"
        began = time.process_time()
        if way == "scratch":
            events = train(corrections, out, scratch_options(seed), overwrite=True)
        else:
            options = dict(WAYS[way])
            if options.pop("rehearse", False):
                options["rehearse"] = self._old()
            chosen = FineTuneOptions(folds=0, seed=seed, accelerator="cpu", **options)
            events = finetune(corrections, self._parent.path, out, chosen, overwrite=True)
        result_of(events)
        spent = time.process_time() - began
        return self._scores(load_checkpoint(out), shift) | {"cpu_minutes": spent / 60}

    def _scores(self, checkpoint: Checkpoint, shift: Shift) -> dict[str, float]:
        cases = self._data.heldout if self._cases == "heldout" else self._data.train[60:75]
        description = self._shifted(cases, shift, self._cases)
        new = result_of(evaluate(checkpoint, read_dataset(description).train, "shifted"))
        old = result_of(evaluate(checkpoint, cases, "unshifted"))
        return {"shifted": new.mean_dice, "unshifted": old.mean_dice}

    def _shifted(self, cases: Sequence[Case], shift: Shift, name: str) -> Path:
        folder = self._work / f"{name}-{shift}"
        if not (folder / "dataset.json").is_file():
            write_shifted([(case.image, case.label) for case in cases], folder, shift, name)
        return folder / "dataset.json"

    def _old(self) -> Path:
        """Describe the old cases that may be rehearsed."""
        path = self._work / "old.json"
        entries = [
            {"image": str(case.image), "label": str(case.label)}
            for case in self._data.train[:OLD_CASES]
        ]
        labels = {"0": "background"} | {str(k): v for k, v in self._data.scheme.names.items()}
        content = {"name": "old cases", "modality": {"0": "MR"}, "labels": labels}
        path.write_text(json.dumps(content | {"train": entries}), encoding="utf-8")
        return path


def scratch_options(seed: int) -> TrainOptions:
    """Give the parent's recipe for a training on the three cases alone."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    recipe.update(name="scratch", steps=SCRATCH_STEPS, limit_cases=None, seed=seed)
    return TrainOptions(**recipe)


def result_of(events: Any) -> Any:
    """Run a job to its end."""
    (value,) = [event.value for event in events if isinstance(event, Result)]
    return value


def show(shift: str, rows: Sequence[tuple[str, list[dict[str, float]]]]) -> None:
    """Print a table; with several seeds the mean, and the standard deviation in brackets."""
    ((_, (before,)), *_) = rows
    lost = before["unshifted"] - before["shifted"]
    print(f"\n{shift} shift, Dice on {shift}ly shifted and on unshifted cases")
    print(f"{'way':16} {'shifted':>16} {'unshifted':>16} {'lost Dice back':>15} {'CPU min':>8}")
    for way, lines in rows:
        gained = statistics.mean(line["shifted"] for line in lines) - before["shifted"]
        minutes = statistics.mean(line.get("cpu_minutes", 0.0) for line in lines)
        columns = " ".join(f"{spread(lines, key):>16}" for key in ("shifted", "unshifted"))
        print(f"{way:16} {columns} {gained / lost:>14.0%} {minutes:>8.1f}")
    print(flush=True)


def spread(lines: Sequence[dict[str, float]], key: str) -> str:
    """Write a mean and a standard deviation."""
    values = [line[key] for line in lines]
    mean = statistics.mean(values)
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ({statistics.stdev(values):.3f})"


if __name__ == "__main__":
    main()
