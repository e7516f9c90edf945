"""What is claimed, each with its target and how it is read off the benchmarks' rows."""

from __future__ import annotations

from judging import Claim, Target
from readings import (
    best_engines,
    cost_of_opening,
    dice_brought_back,
    least_ratio,
    mean_dice,
    room_for_more,
    stalls_at_rest,
    unshifted_loss,
)
from rows import differing_voxels, equals, field, has, number, quotient, rows_where

FULL = "512x512x300"

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
        "is read and written, and a number in a page that is touched for the first time takes "
        "several times as long",
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
        reason="labels, a brick's sums and their means take about 25 MB by count",
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
