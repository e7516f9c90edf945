"""Claims are computed: each can be met, not met, and not measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give the modules of the runner."""
    if not (BENCHMARKS / "run_all.py").is_file():
        pytest.skip("the benchmarks are in the checkout only")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import claims
    import depthwise
    import entries
    import judging
    import machine
    import readings
    import results
    import run_all

    return SimpleNamespace(
        claims=claims,
        depthwise=depthwise,
        entries=entries,
        judging=judging,
        machine=machine,
        readings=readings,
        results=results,
        run_all=run_all,
    )


def inference_rows(ours_mb: float = 450, labels: str = "identical", ours_s: float = 1.0) -> list:
    row = {"peer": "MONAI", "peer_s": 8.0, "peer_mb": 5000.0, "labels": labels}
    whole = {"what": "512x512x300, 14 classes, in all", "ours_s": 9.0, "ours_mb": ours_mb}
    above = {"what": "512x512x300, overhead above forward", "ours_s": ours_s, "ours_mb": None}
    back = {
        "what": "back", "peer": "nnU-Net default", "ours_s": 0.3, "peer_s": 10.5,
        "ours_mb": 50.0, "peer_mb": 1000.0, "labels": "3 of 100 differ",
    }  # fmt: skip
    return [row | whole, row | above | {"labels": ""}, back]


def verdicts(bench: Any, rows: list, benchmark: str, **about: Any) -> dict[str, Any]:
    return {
        claim.title: bench.judging.judge(claim, rows, **about)
        for claim in bench.claims.CLAIMS
        if claim.benchmark == benchmark
    }


def test_inference(bench: Any) -> None:
    good = list(verdicts(bench, inference_rows(), "inference").values())
    assert [v.number for v in good] == [450, 0, 0.125, 35, 20, 3]
    assert [v.is_met for v in good] == [True, True, True, True, False, False]
    worse = inference_rows(ours_mb=601, labels="7 of 9 differ", ours_s=2.1)
    bad = list(verdicts(bench, worse, "inference").values())
    assert [v.number for v in bad[:3]] == [601, 7, pytest.approx(2.1 / 8)]
    assert [v.is_met for v in bad[:3]] == [False, False, False]
    assert bad[0].told == f"**not met**: {bad[0].claim.reason}"
    assert bad[0].claim.reason


def test_reasons_are_read_off_the_rows_and_a_met_claim_has_none(bench: Any) -> None:
    def engine(family: str, name: str, ratio: float, gflops: float) -> dict[str, Any]:
        return {
            "family": family, "engine": name, "ratio": ratio, "gflops": gflops,
            "ceiling_gflops": 100.0, "probability_difference": 0.0, "label_agreement": 1.0,
        }  # fmt: skip

    rows = [engine("a", "plain", 1, 50), engine("a", "fast", 1.5, 75)]
    rows += [engine("b", "plain", 1, 10), engine("b", "fast", 5, 50)]
    told = next(iter(verdicts(bench, rows, "backends").values())).told
    assert "a 2.00 (the fastest engine reaches 0.75)" in told
    assert "b " not in told.partition("need")[2].partition(";")[0]
    assert next(iter(verdicts(bench, rows[2:], "backends").values())).told == "met"

    def stalls(at_rest: float) -> dict[str, Any]:
        worst = {"p99_ms": 1.0, "worst_cpu_ms": 336.0, "engine_modules": 0}
        phases = {"opening": 355.0, "nothing goes on": at_rest, "a run on": 217.0}
        return verdicts(
            bench, [{"what": n, "worst_ms": ms} | worst for n, ms in phases.items()], "smoothness"
        )

    assert "336 ms" in stalls(216.0)["Opening the panel"].told
    assert "216 ms" in stalls(216.0)["The viewer during a run: worst stall"].told
    assert bench.judging.UNEXPLAINED in stalls(20.0)["The viewer during a run: worst stall"].told


def test_another_size_or_a_system_that_tells_no_memory_measures_nothing(bench: Any) -> None:
    rows = [row | {"what": row["what"].replace("512x512x300", "8x8x8")} for row in inference_rows()]
    first = next(iter(verdicts(bench, rows, "inference").values()))
    assert (first.number, first.is_met) == (None, None)
    rows = inference_rows(ours_mb=None)  # type: ignore[arg-type]
    first = next(iter(verdicts(bench, rows, "inference").values()))
    assert first.told == "not measured: this system does not tell it"


def test_the_family_that_gains_least_counts_with_its_fastest_engine(bench: Any) -> None:
    def row(family: str, engine: str, ratio: float, away: float = 1e-6, failure: str = "") -> dict:
        return {
            "family": family, "engine": engine, "ratio": ratio, "failure": failure,
            "probability_difference": away, "label_agreement": 1 - away,
        }  # fmt: skip

    rows = [
        row("a", "plain", 1.0),
        row("a", "slow", 2.0, away=0.5),
        row("a", "fast", 6.0),
        row("b", "plain", 1.0),
        row("b", "fast", 4.5, away=2e-3),
        row("b", "broken", 0.0, failure="does not convert"),
    ]
    assert [v.number for v in verdicts(bench, rows, "backends").values()] == [4.5, 2e-3, 0.998]
    assert [v.is_met for v in verdicts(bench, rows, "backends").values()] == [True, False, False]
    alone = [*rows, row("c", "plain", 1.0), row("c", "fast", 0.0, failure="does not convert")]
    assert next(iter(verdicts(bench, alone, "backends").values())).number == 1.0


def test_scores(bench: Any) -> None:
    def row(peer: str, ratio: float, hd95: float | None) -> dict:
        return {
            "size": "large", "cores": 1, "peer": peer, "ratio": ratio, "ours_s": 0.1,
            "ours_mb": 12.0, "hd95_mm": hd95,
        }  # fmt: skip

    rows = [row("medpy, cropped for it", 9, 1e-9), row("MONAI", 99, 2e-6)]
    rows.append({"size": "large", "cores": 2, "peer": "deepmind", "failure": "not installed"})
    found = list(verdicts(bench, rows, "metrics").values())
    assert [v.number for v in found] == [0.1, 12, 99, 1e-9, 2e-6]
    assert [v.is_met for v in found] == [True, True, False, False, True]
    (alone,) = verdicts(bench, [row("DeepMind surface-distance", 31, None)], "metrics-one-core")
    assert "one core" in alone


def test_gpu_claims_wait_for_a_gpu(bench: Any) -> None:
    rows = [
        {"what": "512x512x300", "value": 3.0},
        {"what": "512x512x300", "value": 6.0},
        {"what": "cotr", "value": 9.0},
        {"what": "transfuse-s", "value": 299.0},
        {"what": "uxnet", "value": 2.0},
    ]
    without = verdicts(bench, rows, "cuda").values()
    assert {v.told for v in without} == {"not measured: no GPU here"}
    found = verdicts(bench, rows, "cuda", has_gpu=True).values()
    assert [v.is_met for v in found] == [False, True, False, True]


def test_nan_meets_nothing(bench: Any) -> None:
    assert not bench.judging.Target("<=", 1).is_met(float("nan"))
    assert not bench.judging.Target(">=", 1).is_met(float("nan"))


def test_every_claim_is_read_off_a_benchmark_that_exists(bench: Any) -> None:
    assert {claim.benchmark for claim in bench.claims.CLAIMS} <= set(bench.entries.ENTRIES)


def test_one_that_fails_keeps_its_rows_and_says_why(bench: Any) -> None:
    script = "import json; print(json.dumps({'a': 1})); raise SystemExit('the peer is gone')"
    outcome = bench.run_all.run_one("x", "X", [sys.executable, "-c", script], 60)
    assert outcome.rows == [{"a": 1}]
    assert outcome.failure == "the peer is gone"
    late = bench.run_all.run_one(
        "x", "X", [sys.executable, "-c", "import time; time.sleep(60)"], 0.5
    )
    assert "was ended" in late.failure
    assert late.seconds < 30


def test_a_failure_never_stops_the_rest_and_the_page_says_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run_one(name: str, about: str, command: list[str], limit_s: float) -> Any:
        if name == "metrics":
            return bench.results.Outcome(name, about, [], 1.0, "no module named medpy")
        return bench.results.Outcome(name, about, inference_rows(), 2.0)

    monkeypatch.setattr(bench.run_all, "run_one", run_one)
    monkeypatch.setattr(bench.run_all, "load", lambda: 9.0)
    monkeypatch.setattr(bench.run_all, "describe", lambda: {"CPU": "abacus", "GPU": "none"})
    out = tmp_path / "RESULTS.md"
    report = bench.run_all.run_all(["metrics", "inference"], quick=False, out=out)
    text = out.read_text()
    assert "* CPU: abacus" in text
    assert "The machine was busy" in text
    assert "| ≤ 600 MB | 450 MB | met |" in text
    assert "| ≥ 30x | 20x | **not met**: " in text
    assert "not measured: 'metrics' failed" in text
    assert "It did not run to its end: no module named medpy" in text
    content = json.loads(json.dumps(report.as_json()))
    assert {claim["met"] for claim in content["claims"]} == {True, False, None}
    assert bench.machine.warning_of(0.2, 2) == ""


def test_rows_of_several_kinds_are_several_tables(bench: Any) -> None:
    rows = [{"a": 1, "b": [2, 3]}, {"c": None}, {"a": 0.5, "b": True}]
    assert list(bench.results.tables_of(rows)) == [
        "| a | b |", "|---|---|", "| 1 | 2x3 |", "| 0.5 | yes |", "", "| c |", "|---|", "| - |",
    ]  # fmt: skip


def finetune_rows(shifted: float = 0.83, unshifted: float = 0.855) -> list:
    def row(shift: str, way: str, new: float, old: float, **more: Any) -> dict[str, Any]:
        return {"shift": shift, "way": way, "shifted": new, "unshifted": old} | more

    return [
        row("strong", "before", 0.02, 0.86),
        row("strong", "rehearsal", shifted + 0.01, unshifted, seed=0, cpu_minutes=3.0),
        row("strong", "rehearsal", shifted - 0.01, unshifted, seed=1, cpu_minutes=4.0),
        row("strong", "scratch", 0.78, 0.05, seed=0, cpu_minutes=1.0),
        row("strong", "norms", 0.5, 0.84, seed=0, cpu_minutes=2.0),
        row("strong", "l2", 0.81, 0.835, seed=0, cpu_minutes=0.4),
        row("mild", "before", 0.70, 0.86),
        row("mild", "rehearsal", 0.85, 0.86, seed=0, cpu_minutes=3.0),
        row("mild", "norms", 0.75, 0.85, seed=0, cpu_minutes=2.0),
        row("mild", "l2", 0.84, 0.85, seed=0, cpu_minutes=3.0),
    ]


def test_a_repair_is_judged_by_the_clock_and_by_the_slowest(bench: Any) -> None:
    told = {
        "get ready: first strokes": 9.0, "first repair": 0.7, "repair in a new engine": 24.0
    }  # fmt: skip
    rows = [{"what": what, "volume": "512x512x300", "wall_s": wall} for what, wall in told.items()]
    rows += [{"what": "later repair", "volume": "512x512x300", "wall_s": s} for s in (0.4, 1.2)]
    first, later = verdicts(bench, rows, "repair").values()
    assert (first.number, first.is_met) == (0.7, True)
    assert (later.number, later.is_met) == (1.2, False)
    small = [row | {"volume": "192x192x160"} for row in rows]
    assert [v.number for v in verdicts(bench, small, "repair").values()] == [None, None]


def test_finetune(bench: Any) -> None:
    good = list(verdicts(bench, finetune_rows(), "finetune").values())
    expected = [0.83, 0.005, 0.05, 0.15 / 0.16, 0.02, 0.025, 4]
    assert [v.number for v in good] == [pytest.approx(number) for number in expected]
    assert all(v.is_met for v in good)
    bad = list(verdicts(bench, finetune_rows(0.79, 0.84), "finetune").values())
    assert [v.is_met for v in bad[:3]] == [False, False, False]
    quick = finetune_rows()[6:7]
    assert all(v.is_met is None for v in verdicts(bench, quick, "finetune").values())


def test_depthwise(bench: Any) -> None:
    rows = [{"ratio": 1.8, "difference": 0.0}, {"ratio": 0.9, "difference": 2e-6}]
    found = list(verdicts(bench, rows, "depthwise").values())
    assert [v.number for v in found] == [0.9, 2e-6]
    assert [v.is_met for v in found] == [False, True]
    (row,) = [bench.depthwise.compare(4, 9, 1)]
    assert row.difference < 1e-5
    assert row.ratio == row.peer_ms / row.ours_ms


def test_the_plain_network_is_no_engine_however_it_is_laid_out(bench: Any) -> None:
    rows = [
        {"family": "a", "engine": name, "ratio": ratio}
        for name, ratio in (("plain", 1.0), ("plain, channels last", 9.0), ("torch", 2.0))
    ]
    assert [row["engine"] for row in bench.readings.best_engines(rows)] == ["torch"]
