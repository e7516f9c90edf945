"""An engine without networks: speaks the protocol, and misbehaves as it is told.

``python fake_worker.py MOOD``: well, fails, hangs, hangs-deaf, hangs-at-all, dies, dies-later,
garbled, half-result, silent-end, with-child, patient, times-for-ever. The devices job is always
answered well; finding errors and accepting cases need no network, so the engine's own code does
them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.engine.codec import decode_fields
from napari_hybridseg.engine.jobs import DeviceReport
from napari_hybridseg.engine.kinds import JOB_KINDS
from napari_hybridseg.engine.protocol import (
    Cancel,
    Reply,
    Request,
    Steer,
    parse_order,
    reply_for_event,
    reply_line,
)
from napari_hybridseg.engine.scratch import ArrayFolder
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.events import Event, Metric, Note, Progress, RegionDone, Result
from napari_hybridseg.finetune import FineTuneReport, OrganChange, ScoreTable
from napari_hybridseg.inference.estimate import Estimate, Probe
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics.scores import OrganScore, ScoreReport
from napari_hybridseg.volume import LabelMap, Volume

COST = Estimate(
    windows=2, passes=1, seconds=8.0, peak_bytes=350_000_000, probe=Probe(seconds_per_pass=4.0)
)
DEVICES = DeviceReport(devices={"cpu": "CPU (pretended)"}, threads=1, torch_version="0")

REAL = ("errors", "accept")


class FakeWorker:
    def __init__(self, mood: str) -> None:
        self.mood = mood
        self._segmented = 0
        self._out = sys.stdout.buffer

    def serve(self) -> None:
        for line in sys.stdin.buffer:
            order = parse_order(line)
            if isinstance(order, Request):
                self.work(order)

    def work(self, request: Request) -> None:
        folder = ArrayFolder(request.folder)
        params = decode_fields(request.params, folder.take)

        def say(event: Event) -> None:
            number = len(folder.names(f"out-{request.id}-*"))
            put = lambda array: folder.put(array, f"out-{request.id}-{number}-{id(array)}")  # noqa: E731
            self._out.write(reply_line(reply_for_event(request.id, event, put)))
            self._out.flush()

        if request.job == "devices":
            say(Result(DEVICES))
        elif request.job == "estimate" and self.mood != "times-for-ever":
            say(Result(COST))
        elif self.mood == "hangs-at-all" or request.job == "estimate":
            say(Progress("At it", 0, 2))
            self.hang(request)
        elif request.job == "score":
            say(Result(score(params["prediction"], params["reference"])))
        elif request.job in REAL:
            for event in JOB_KINDS[request.job].run(JOB_KINDS[request.job].job(**params), Warm()):
                say(event)
        elif request.job == "explain":
            # imported here: the engine's process has a safe path, without the script's folder
            sys.path.append(str(Path(__file__).parent))
            from fake_explain import explanation

            say(Progress("Looking", 1, 2))
            say(Result(explanation(params["volume"], params["options"])))
        elif request.job == "fine-tune":
            self.teach(params, say)
        else:
            self.segment(request, params["volume"], say)

    def teach(self, params: dict[str, Any], say: Any) -> None:
        """Measure twice; a patient one then waits for what it is told until it is to finish."""
        for step in (25, 50):
            say(Metric("Dice", step / 100, step))
            say(Metric("loss", 25 / step, step))
        while self.mood == "patient":
            order = parse_order(sys.stdin.buffer.readline())
            assert isinstance(order, Steer), order
            say(Note(f"told to {order.wish}"))
            if order.wish == "finish":
                break
        say(Result(report(params["checkpoint"], params["out"])))

    def segment(self, request: Request, volume: Volume, say: Any) -> None:
        say(Progress("Preparing", 0, 1))
        if self.mood == "fails":
            fields = {"message": "The network refused.", "details": "Traceback: a detail"}
            self._out.write(reply_line(Reply(request.id, "error", fields)))
            self._out.flush()
            return
        self._segmented += 1
        if self.mood == "dies" or (self.mood == "dies-later" and self._segmented > 1):
            os.kill(os.getpid(), 9)
        if self.mood == "silent-end":
            sys.exit(0)
        if self.mood in ("hangs", "hangs-deaf", "with-child"):
            if self.mood == "hangs":
                say(RegionDone((0, 0, 0), label_map(volume).array[:6]))
            self.hang(request)
            return
        if self.mood == "garbled":
            for garbage in (b"\xff\xfe not utf-8 \xc3\x28\n", b"{broken json\n", b'{"id": "x"}\n'):
                self._out.write(garbage)
            self._out.flush()
            os.write(2, b"warning: \xe4\xf6\xfc from a library\n")
        for step in range(1, 5):
            time.sleep(0.06)
            say(Progress("Segmenting", step, 4, eta_s=float(4 - step)))
        say(Note("A note from the engine."))
        found = label_map(volume)
        say(RegionDone((0, 0, 0), found.array[:2]))
        if self.mood == "half-result":
            fields = {"value": {"$": "array", "name": "not-there.npy"}}
            self._out.write(reply_line(Reply(request.id, "result", fields)))
            self._out.flush()
            return
        say(Result(found))

    def hang(self, request: Request) -> None:
        if self.mood == "with-child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(os.environ["FAKE_CHILD_FILE"]).write_text(str(child.pid))
        if self.mood not in ("hangs", "hangs-at-all", "times-for-ever"):
            time.sleep(600)
        for line in sys.stdin.buffer:
            if isinstance(parse_order(line), Cancel):
                self._out.write(reply_line(Reply(request.id, "cancelled")))
                self._out.flush()
                return


def label_map(volume: Volume) -> LabelMap:
    """Name what is bright, in levels of 100."""
    array = np.clip(np.rint(volume.array[0] / 100.0), 0, 9).astype(np.uint8)
    return LabelMap(
        geometry=volume.geometry,
        source=volume.source,
        array=array,
        scheme=LabelScheme.from_names({1: "left part", 2: "right part"}, "fake"),
        name="fake",
    )


def report(checkpoint: Path, out: Path) -> FineTuneReport:
    """Pretend that a copy of the parent learnt something."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(checkpoint.read_bytes())
    organ = OrganChange(
        label=1,
        name="left part",
        dice_before=0.7,
        dice_after=0.9,
        hd95_before_mm=3.0,
        hd95_after_mm=None,
    )
    table = ScoreTable(
        measured="training cases", data="1 corrected case", organs=(organ,), cases=()
    )
    return FineTuneReport(
        path=out,
        sha256="0" * 64,
        name=out.stem,
        parent=checkpoint,
        parent_sha256="1" * 64,
        strategy="norms",
        steps=50,
        minutes=0.1,
        ending="stopped",
        cases=table,
        guard=None,
        recommended=True,
        verdict="It got better: 0.700 before, 0.900 after.",
        left_out=("case-0009 was left out.",),
    )


def score(prediction: LabelMap, reference: LabelMap) -> ScoreReport:
    """Score honestly what needs no distances."""
    ml = prediction.geometry.voxel_volume_ml
    on_grid = prediction.array if prediction.array.shape == reference.array.shape else None
    organs = []
    for label in sorted({*prediction.present, *reference.present}):
        ours = on_grid == label if on_grid is not None else np.zeros_like(reference.array, bool)
        theirs = reference.array == label
        both = 2 * (ours & theirs).sum() / max(1, ours.sum() + theirs.sum())
        one_sided = "missed" if theirs.any() else "not in reference"
        status = "scored" if ours.any() and theirs.any() else one_sided
        organs.append(
            OrganScore(
                label=label,
                name=reference.scheme.organ(label).name,
                status=status,
                dice=float(both),
                hd95_mm=1.25 if status == "scored" else None,
                volume_ml=float(ours.sum()) * ml,
                reference_volume_ml=float(theirs.sum()) * ml,
            )
        )
    return ScoreReport(organs=tuple(organs), convention="monai", tolerance_mm=1.0)


if __name__ == "__main__":
    FakeWorker(sys.argv[1]).serve()
