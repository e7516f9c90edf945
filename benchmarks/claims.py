"""What is claimed, each with its target and how it is read off the benchmarks' rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
Rows = Sequence[Row]

FULL = "512x512x300"
GPU = "no GPU here"
UNEXPLAINED = "no cause is known beside what the rows and the machine's load tell"


class NotMeasured(Exception):
    """There is no such number in the rows; the text says why."""


@dataclass(frozen=True)
class Target:
    """A bound that a number must keep."""

    relation: Literal["<=", ">="]
    bound: float
    unit: str = ""

    def is_met(self, number: float) -> bool:
        """Compare; NaN meets nothing."""
        return number <= self.bound if self.relation == "<=" else number >= self.bound

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥"}[self.relation]
        return f"{sign} {self.worded(self.bound)}"

    def worded(self, number: float) -> str:
        """Write a number with the unit."""
        digits = f"{number:.6f}" if self.unit == "of voxels" else f"{number:.3g}"
        return f"{digits}{'' if self.unit in ('', 'x') else ' '}{self.unit}"


@dataclass(frozen=True)
class Claim:
    """One line of issue 4.

    Attributes
    ----------
    title : str
        What is claimed, in words.
    benchmark : str
        Whose rows it is read off; see ``entries.ENTRIES``.
    target : Target
        What the number must keep.
    measure : callable
        Gives the number from the rows, or raises ``NotMeasured``.
    needs_gpu : bool
        Whether it can be measured on CUDA only.
    reason : str
        Why it is not met, where it is not.
    because : callable, optional
        Reads the reason off the rows; nothing where they do not tell, and then ``reason`` counts.
    """

    title: str
    benchmark: str
    target: Target
    measure: Callable[[Rows], float]
    needs_gpu: bool = False
    reason: str = UNEXPLAINED
    because: Callable[[Rows], str] | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a claim; ``why`` says why it was not measured, or why it is not met."""

    claim: Claim
    number: float | None
    why: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is kept; None where nothing was measured."""
        return None if self.number is None else self.claim.target.is_met(self.number)

    @property
    def told(self) -> str:
        """The verdict in words."""
        return {
            True: "met",
            False: f"**not met**: {self.why or self.claim.reason}",
            None: f"not measured: {self.why}",
        }[self.is_met]


def judge(claim: Claim, rows: Rows, failure: str = "", has_gpu: bool = False) -> Verdict:
    """Compute a claim's number and compare it.

    Parameters
    ----------
    claim : Claim
    rows : sequence of mappings
        What its benchmark gave.
    failure : str
        Why the benchmark did not run, or not to its end.
    has_gpu : bool
        Whether there is one here.
    """
    if claim.needs_gpu and not has_gpu:
        return Verdict(claim, None, GPU)
    try:
        verdict = Verdict(claim, float(claim.measure(rows)))
    except NotMeasured as error:
        return Verdict(claim, None, failure or str(error))
    if verdict.is_met or claim.because is None:
        return verdict
    return Verdict(claim, verdict.number, claim.because(rows))


def rows_where(rows: Rows, **wanted: Callable[[Any], bool]) -> list[Row]:
    """Give the rows whose fields are as wanted.

    Raises
    ------
    NotMeasured
        If there is none.
    """
    found = [
        row
        for row in rows
        if not row.get("failure") and all(f in row and is_so(row[f]) for f, is_so in wanted.items())
    ]
    if not found:
        raise NotMeasured("this run did not measure it")
    return found


def field(name: str, **wanted: Callable[[Any], bool]) -> Callable[[Rows], float]:
    """Give what reads one field of the one row that is as wanted."""
    return lambda rows: number(rows_where(rows, **wanted)[0][name])


def quotient(
    above: str,
    below: str,
    choose: Callable[[Iterable[float]], float],
    **wanted: Callable[..., bool],
) -> Callable[[Rows], float]:
    """Give what divides two fields in every row that is as wanted, and takes the worst."""

    def measure(rows: Rows) -> float:
        return choose(number(r[above]) / number(r[below]) for r in rows_where(rows, **wanted))

    return measure


def number(value: Any) -> float:
    """Give a number.

    Raises
    ------
    NotMeasured
        If it is None: the machine could not tell (memory outside Linux).
    """
    if value is None:
        raise NotMeasured("this system does not tell it")
    return float(value)


def has(text: str) -> Callable[[Any], bool]:
    """Give a condition: the field contains this text."""
    return lambda value: text in str(value)


def equals(wanted: Any) -> Callable[[Any], bool]:
    """Give a condition: the field is this."""
    return lambda value: bool(value == wanted)


def differing_voxels(**wanted: Callable[[Any], bool]) -> Callable[[Rows], float]:
    """Give what reads in how many voxels label maps differ, at most."""

    def measure(rows: Rows) -> float:
        told = [str(row["labels"]) for row in rows_where(rows, labels=bool, **wanted)]
        return max(0.0 if text == "identical" else float(text.split()[0]) for text in told)

    return measure


def best_engines(rows: Rows) -> list[Row]:
    """Give the fastest engine's row of every family."""
    best: dict[str, Row] = {}
    for row in rows_where(rows, engine=lambda name: not name.startswith("plain")):
        known = best.get(row["family"])
        if known is None or row["ratio"] > known["ratio"]:
            best[row["family"]] = row
    return list(best.values())


def least_ratio(rows: Rows) -> float:
    """Give the ratio of the family that gains least; one that no engine ran counts as 1."""
    best = best_engines(rows)
    failed = {row["family"] for row in rows} - {row["family"] for row in best}
    return min([row["ratio"] for row in best] + [1.0 for _ in failed])


def room_for_more(rows: Rows) -> str:
    """Say of the families that gain less than 4x how fast 4x would be, beside what a core can do.

    Both are read off the rows: what the plain network and the fastest engine reach per second,
    as parts of what a matrix product reaches on the same core.
    """
    plain = {row["family"]: row for row in rows if row.get("engine") == "plain"}
    told = []
    for best in sorted(best_engines(rows), key=lambda row: float(row["ratio"])):
        start = plain.get(best["family"], {})
        if best["ratio"] >= 4 or not start.get("ceiling_gflops"):
            continue
        needed = 4 * start["gflops"] / start["ceiling_gflops"]
        reached = best["gflops"] / best["ceiling_gflops"]
        told.append(f"{best['family']} {needed:.2f} (the fastest engine reaches {reached:.2f})")
    if not told:
        return ""
    return (
        "as parts of what a matrix product reaches on this core, 4x over the plain network would "
        f"need {', '.join(told)}; above 1 no engine can get"
    )


def stalls_at_rest(rows: Rows) -> str:
    """Say that the viewer stalls as long while no job runs, where it does."""
    at_rest = [
        row["worst_ms"]
        for row in rows
        if any(text in row["what"] for text in ("nothing goes on", "panel at rest"))
    ]
    if not at_rest or max(at_rest) <= 200:
        return ""
    return (
        f"while no job runs the viewer stalls for as long ({max(at_rest):.0f} ms in the rows), so "
        "it is the viewer or this machine, not the run"
    )


def cost_of_opening(rows: Rows) -> str:
    """Say what the panel's opening takes of the CPU itself."""
    (row,) = rows_where(rows, what=has("opening"))
    if not row.get("worst_cpu_ms"):
        return ""
    return (
        f"{row['worst_cpu_ms']:.0f} ms of it are the CPU time of the viewer's process; the rest is "
        "waiting for a core"
    )


def mean_dice(rows: Rows, of: str, shift: str, way: str) -> float:
    """Average a Dice over the seeds of a way of fine-tuning."""
    found = rows_where(rows, shift=equals(shift), way=equals(way))
    return sum(number(row[of]) for row in found) / len(found)


def unshifted_loss(shift: str, way: str) -> Callable[[Rows], float]:
    """Give what reads how much Dice a fine-tune loses on cases as they were."""
    return lambda rows: (
        mean_dice(rows, "unshifted", shift, "before") - mean_dice(rows, "unshifted", shift, way)
    )


def dice_brought_back(rows: Rows) -> float:
    """Give the part of what the mild shift cost that rehearsal brings back."""
    before = mean_dice(rows, "shifted", "mild", "before")
    lost = mean_dice(rows, "unshifted", "mild", "before") - before
    return (mean_dice(rows, "shifted", "mild", "rehearsal") - before) / lost


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "512x512x300, 14 classes: memory above model and input",
        "inference",
        Target("<=", 600, "MB"),
        field("ours_mb", what=lambda text: FULL in text and "in all" in text),
        reason="sums, labels and one window's logits come to 564 MiB",
    ),
    Claim(
        "Labels as MONAI's sliding_window_inference: voxels that differ",
        "inference",
        Target("<=", 0, "voxels"),
        differing_voxels(what=has("in all"), peer=equals("MONAI")),
    ),
    Claim(
        "Overhead above the bare forward passes, as a part of MONAI's",
        "inference",
        Target("<=", 0.25),
        quotient("ours_s", "peer_s", max, what=has("overhead"), peer=equals("MONAI")),
        reason="what is left is nearly all memory: each number of each window is read, and its sum "
        "is read and written, about 0.8 ns for 12 bytes on this machine, and a page that is "
        "touched for the first time takes about 1.5 ns a number more",
    ),
    Claim(
        "Back to the source grid: faster than nnU-Net's default",
        "inference",
        Target(">=", 30, "x"),
        quotient("peer_s", "ours_s", min, peer=has("nnU-Net")),
    ),
    Claim(
        "Back to the source grid: less memory than nnU-Net's default",
        "inference",
        Target(">=", 30, "x"),
        quotient("peer_mb", "ours_mb", min, peer=has("nnU-Net")),
        reason="labels, a brick's sums, their means and the copy of its logits take about 42 MB by "
        "count; what the heap keeps above that differs from process to process",
    ),
    Claim(
        "Back to the source grid: voxels that differ from nnU-Net's",
        "inference",
        Target("<=", 0, "voxels"),
        differing_voxels(peer=has("nnU-Net")),
    ),
    Claim(
        "CPU backend over the plain network, the 3D family that gains least",
        "backends",
        Target(">=", 4, "x"),
        least_ratio,
        because=room_for_more,
    ),
    Claim(
        "CPU backend: largest difference of a probability",
        "backends",
        Target("<=", 1e-3),
        lambda rows: max(row["probability_difference"] for row in best_engines(rows)),
    ),
    Claim(
        "CPU backend: agreement of labels, the worst family",
        "backends",
        Target(">=", 0.9999, "of voxels"),
        lambda rows: min(row["label_agreement"] for row in best_engines(rows)),
    ),
    Claim(
        "Deformable attention at three levels: faster than per level, forward",
        "deformable",
        Target(">=", 3, "x"),
        quotient(
            "peer_ms", "ours_ms", min, tokens=lambda n: n > 10_000, backward=lambda is_so: not is_so
        ),
    ),
    Claim(
        "Deformable attention at three levels: memory, as a part of per level's",
        "deformable",
        Target("<=", 0.5),
        quotient(
            "ours_mb", "peer_mb", max, tokens=lambda n: n > 10_000, backward=lambda is_so: not is_so
        ),
    ),
    Claim(
        "Deformable attention: largest relative difference, outputs and gradients",
        "deformable",
        Target("<=", 1e-5),
        lambda rows: max(number(row["difference"]) for row in rows_where(rows, backward=bool)),
    ),
    Claim(
        "Depthwise 7x7x7 on a CPU, channels last over channels first, the size that gains least",
        "depthwise",
        Target(">=", 1, "x"),
        lambda rows: min(number(row["ratio"]) for row in rows_where(rows, ratio=bool)),
    ),
    Claim(
        "Depthwise 7x7x7 on a CPU: largest relative difference between the two",
        "depthwise",
        Target("<=", 1e-5),
        lambda rows: max(number(row["difference"]) for row in rows_where(rows, ratio=bool)),
    ),
    Claim(
        "Scores of 13 organs at 512x512x200",
        "metrics",
        Target("<=", 0.15, "s"),
        lambda rows: min(
            r["ours_s"] for r in rows_where(rows, size=equals("large"), ours_s=lambda s: s > 0)
        ),
    ),
    Claim(
        "Scores: extra memory",
        "metrics",
        Target("<=", 30, "MB"),
        lambda rows: max(number(r["ours_mb"]) for r in rows_where(rows, size=equals("large"))),
    ),
    Claim(
        "Scores: faster than DeepMind's surface-distance on one core",
        "metrics-one-core",
        Target(">=", 20, "x"),
        field("ratio", size=equals("large"), peer=has("DeepMind"), cores=equals(1)),
    ),
    Claim(
        "Scores: faster than MONAI",
        "metrics",
        Target(">=", 100, "x"),
        field("ratio", size=equals("large"), peer=equals("MONAI")),
    ),
    Claim(
        "Scores: HD95 (pooled) against medpy's",
        "metrics",
        Target("<=", 0, "mm"),
        field("hd95_mm", peer=has("medpy")),
    ),
    Claim(
        "Scores: HD95 (monai) against MONAI's",
        "metrics",
        Target("<=", 1e-5, "mm"),
        field("hd95_mm", peer=equals("MONAI")),
    ),
    Claim(
        "Opening the panel",
        "smoothness",
        Target("<=", 300, "ms"),
        field("worst_ms", what=has("opening")),
        because=cost_of_opening,
    ),
    Claim(
        "Torch and MONAI in the GUI's process",
        "smoothness",
        Target("<=", 0, "modules"),
        lambda rows: max(row["engine_modules"] for row in rows_where(rows, what=has("run"))),
    ),
    *(
        Claim(
            f"The viewer during {words}: {told}",
            "smoothness",
            Target("<=", bound, "ms"),
            field(name, what=has(phase)),
            because=stalls_at_rest if name == "worst_ms" else None,
        )
        for words, phase in (("a run", "a run on"), ("a fine-tune", "a fine-tune"))
        for told, name, bound in (
            ("99th percentile of stalls", "p99_ms", 50),
            ("worst stall", "worst_ms", 200),
        )
    ),
    *(
        Claim(
            f"Scribble repair of 128x128x128 voxels of {FULL}, by the clock: {told}",
            "repair",
            Target("<=", 1, "s"),
            lambda rows, which=which: max(  # type: ignore[misc]
                number(row["wall_s"])
                for row in rows_where(rows, what=equals(which), volume=equals(FULL))
            ),
        )
        for told, which in (
            ("the first, once the engine got ready", "first repair"),
            ("the slowest of the next four", "later repair"),
        )
    ),
    Claim(
        "Three cases of a strong shift, with rehearsal: Dice on shifted cases",
        "finetune",
        Target(">=", 0.8),
        lambda rows: mean_dice(rows, "shifted", "strong", "rehearsal"),
    ),
    Claim(
        "Three cases of a strong shift, with rehearsal: Dice lost on unshifted cases",
        "finetune",
        Target("<=", 0.01),
        unshifted_loss("strong", "rehearsal"),
    ),
    Claim(
        "Three cases of a strong shift, with rehearsal: Dice above a training from scratch",
        "finetune",
        Target(">=", 0.03),
        lambda rows: (
            mean_dice(rows, "shifted", "strong", "rehearsal")
            - mean_dice(rows, "shifted", "strong", "scratch")
        ),
    ),
    Claim(
        "Three cases of a mild shift, with rehearsal: part of the lost Dice that is back",
        "finetune",
        Target(">=", 0.9),
        dice_brought_back,
    ),
    *(
        Claim(
            f"Three cases, {what} and no old case: Dice lost on unshifted cases, the worse shift",
            "finetune",
            Target("<=", 0.03),
            lambda rows, way=way: max(  # type: ignore[misc]
                unshifted_loss(shift, way)(rows) for shift in ("strong", "mild")
            ),
        )
        for what, way in (("norms only", "norms"), ("drawn to the start (L2)", "l2"))
    ),
    Claim(
        "Three cases: CPU time of a fine-tune, the longest",
        "finetune",
        Target("<=", 10, "minutes"),
        lambda rows: max(row["cpu_minutes"] for row in rows_where(rows, cpu_minutes=bool)),
    ),
    Claim(
        "512x512x300 end to end on a GPU, the slowest small network",
        "cuda",
        Target("<=", 5, "s"),
        lambda rows: max(row["value"] for row in rows_where(rows, what=equals(FULL))),
        needs_gpu=True,
    ),
    Claim(
        "CoTr, full size at 48x192x192, on a GPU",
        "cuda",
        Target("<=", 10, "ms"),
        field("value", what=equals("cotr")),
        needs_gpu=True,
    ),
    Claim(
        "TransFuse-S at 352x352, bf16, on a GPU",
        "cuda",
        Target(">=", 300, "FPS"),
        field("value", what=equals("transfuse-s")),
        needs_gpu=True,
    ),
    Claim(
        "3D UX-Net at 96x96x96 over the plain eager network, on a GPU",
        "cuda",
        Target(">=", 2, "x"),
        field("value", what=equals("uxnet")),
        needs_gpu=True,
    ),
)
