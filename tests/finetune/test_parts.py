from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from finetune_support import boxes, parent_of_boxes, report_of, run
from helpers import tiny_checkpoint

from napari_hybridseg.finetune import FineTuneError, FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune import learner as learner_module
from napari_hybridseg.finetune.budget import Budget
from napari_hybridseg.finetune.clock import BusyClock
from napari_hybridseg.finetune.guard import guard_cases, verdict
from napari_hybridseg.finetune.learner import _is_late
from napari_hybridseg.finetune.loading import LearnCase
from napari_hybridseg.finetune.monitor import Monitor
from napari_hybridseg.finetune.numbering import Numbering
from napari_hybridseg.finetune.objective import PartialLoss
from napari_hybridseg.finetune.report import OrganChange, ScoreTable
from napari_hybridseg.finetune.sampler import MixedSampler
from napari_hybridseg.finetune.scanner import (
    LookTransfer,
    OtherScanner,
    choose_scanner,
    is_turned_round,
    quantiles,
)
from napari_hybridseg.finetune.sources import TrainingCase, named_like, open_source
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ClipStandardise, ZScore
from napari_hybridseg.resources import sample_volumes_folder
from napari_hybridseg.training.dataset import LoadedCase
from napari_hybridseg.training.loss import HeadsLoss
from napari_hybridseg.training.options import Augmentation

STILL = Augmentation(probability=0, rotate=0, scale=0, noise=0, smooth=0, contrast=0)
OFF = ScannerAugmentation(transfer=0, negative=0, histogram=0, bias=0, low_resolution=0)
NAMES = LabelScheme.from_names({1: "liver", 2: "spleen"})


def learn_case(
    value: float, edited: tuple[int, ...] = (), unknown: tuple[int, ...] = ()
) -> LearnCase:
    shape = (12, 12, 12)
    channels = np.zeros(shape, np.uint8)
    channels[2:4, 2:4, 2:4] = 1
    image = np.full((1, *shape), value, np.float32)
    image[0, 6:] += 1
    case = TrainingCase("x", Path("x"), Path("x"), None, NAMES, f"{value}")
    return LearnCase(case, LoadedCase("x", image, channels), np.array(edited, np.int64), unknown)


def sampler(cases: list[LearnCase], old: list[LearnCase], **options: object) -> MixedSampler:
    chosen = FineTuneOptions(**options)  # type: ignore[arg-type]
    return MixedSampler(cases, old, (4, 4, 4), chosen, STILL, OFF)


def test_windows_are_where_a_person_corrected() -> None:
    corner = int(np.ravel_multi_index((9, 9, 9), (12, 12, 12)))
    case = learn_case(0.0, edited=(corner,))
    chosen = sampler([case], [], edited=1.0)
    case.loaded.channels[9, 9, 9] = 2
    for step in range(20):
        (windows,) = chosen.batch(step, 0, 2)
        assert (windows.channels == 2).flatten(1).any(1).all()


def test_rehearsed_windows_have_their_share_and_groups_share_what_they_know() -> None:
    new, old = learn_case(10.0), learn_case(-10.0, unknown=(2,))
    mixed = sampler([new], [old], rehearsal_share=0.5)
    for step in range(10):
        groups = {windows.unknown: windows for windows in mixed.batch(step, 0, 4)}
        assert {key: len(windows.images) for key, windows in groups.items()} == {(): 2, (2,): 2}
        assert groups[()].images.min() >= 5
        assert groups[(2,)].images.max() <= 0


def test_the_same_step_gives_the_same_windows() -> None:
    one, other = (sampler([learn_case(1.0)], []).batch(3, 0, 2)[0].images for _ in range(2))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_another_scanner_keeps_mean_and_spread() -> None:
    random = np.random.default_rng(0)
    slope = np.broadcast_to(np.linspace(-4, 9, 10, dtype=np.float32), (1, 10, 10, 10))
    window = torch.from_numpy(slope + random.normal(0, 0.3, slope.shape).astype(np.float32))
    every = ScannerAugmentation(negative=1, histogram=1, bias=1, low_resolution=1)
    varied = OtherScanner(every)(window, random)
    assert varied.mean() == pytest.approx(float(window.mean()), abs=1e-3)
    assert varied.std() == pytest.approx(float(window.std()), rel=1e-3)
    assert np.corrcoef(varied.ravel(), window.ravel())[0, 1] < -0.5  # the contrast is turned round
    assert OtherScanner(OFF)(window, random) is window
    one_slice = window[:, :1]
    assert OtherScanner(every)(one_slice, random).shape == one_slice.shape


def test_values_that_mean_something_are_not_turned_round() -> None:
    hounsfield = ClipStandardise(low=-200, high=300, mean=50, std=80)
    assert choose_scanner(FineTuneOptions(), hounsfield) == OFF
    assert choose_scanner(FineTuneOptions(), ZScore()).negative > 0


def test_labels_teach_nothing_about_organs_that_they_do_not_name() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    channels = (torch.rand(2, 1, 4, 4, 4) > 0.5).long()
    loss = PartialLoss((1.0,), 3)
    torch.testing.assert_close(loss((logits,), channels), HeadsLoss((1.0,))((logits,), channels))
    (gradient,) = torch.autograd.grad(loss((logits,), channels, (2,)), logits)
    moved = logits.detach().clone()
    # moving probability between the background and the unknown organ costs nothing
    total = torch.logsumexp(moved[:, [0, 2]], 1)
    moved[:, 0] = total - np.log(2)
    moved[:, 2] = total - np.log(2)
    same = loss((moved,), channels, (2,))
    torch.testing.assert_close(same, loss((logits,), channels, (2,)).detach())
    assert gradient.abs().max() > 0


def test_the_monitor_sees_a_perfect_network() -> None:
    class Perfect(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            organ = (image[:, :1] > 50).float()
            return torch.cat([1 - organ, organ], 1)

    case = learn_case(0.0)
    case.loaded.image[0][case.loaded.channels == 1] = 100
    monitor = Monitor([case], (4, 4, 4), None)
    assert monitor.dice(Perfect(), torch.device("cpu")) == 1.0
    case.loaded.image[...] = 0
    assert Monitor([case], (4, 4, 4), None).dice(Perfect(), torch.device("cpu")) == 0.0


def test_waiting_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("napari_hybridseg.finetune.clock.time.monotonic", lambda: now[0])
    clock = BusyClock(limit_s=60, before_s=5, _since=0.0)
    now[0] = 10.0
    clock.pause()
    now[0] = 1000.0
    clock.resume()
    now[0] = 1002.0
    assert clock.seconds == pytest.approx(17)
    assert clock.left_s == pytest.approx(43)


def test_a_training_leaves_time_for_its_last_check() -> None:
    learner: Any = SimpleNamespace(seconds=10.0, step_s=2.0, check_s=None)
    assert not _is_late(learner, None)
    assert not _is_late(learner, 16.1)  # a step, and a check that is taken to last as two
    assert _is_late(learner, 15.9)
    learner.check_s = 5.0
    assert not _is_late(learner, 17.1)
    assert _is_late(learner, 16.9)


def test_the_budget_is_divided_between_trainings_and_scoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_hybridseg.finetune.clock.time.monotonic", lambda: 20.0)
    budget = Budget(BusyClock(limit_s=121, _since=0.0), cases_s=12, guard_s=4)
    assert budget.share_s(4) == pytest.approx((121 - 20 - 1.5 * 16 - 1) / 4)
    assert budget.folds(3) == 3
    assert Budget(BusyClock(limit_s=60, _since=0.0)).folds(3) == 0  # too little for each
    assert Budget(BusyClock(_since=0.0)).share_s(4) is None
    with pytest.raises(FineTuneError, match="too short"):
        Budget(BusyClock(limit_s=21, _since=0.0)).share_s(1)


def test_labels_without_names_are_the_parents() -> None:
    given = LabelScheme.from_names({1: "label 1", 2: "milz", 9: "label 9"})
    assert named_like(given, NAMES).names == {1: "liver", 2: "milz", 9: "label 9"}


def test_the_sample_volumes_are_a_labelled_folder() -> None:
    source = open_source(sample_volumes_folder())
    assert [case.name for case in source.cases] == ["torso_a", "torso_b"]
    assert all(case.label.is_file() for case in source.cases)


def test_the_guard_is_the_parents_own_sample_unless_another_is_chosen(tmp_path: Path) -> None:
    sample = open_source(sample_volumes_folder())
    card = tiny_checkpoint(tmp_path, labels=sample.cases[0].scheme).card
    options = FineTuneOptions()
    assert options.guard is None
    name, cases = guard_cases(options, card, (), None, ())
    assert name == card.labels.name == "Sample torso"
    assert [case.name for case in cases] == ["torso_a", "torso_b"]
    _, others = guard_cases(options, card, (), None, sample.cases[1:])
    assert [case.name for case in others] == ["torso_a"]  # the other one was learnt from
    own = LabelScheme.from_names({1: "liver"}, "mine")
    stranger = tiny_checkpoint(tmp_path, name="stranger", labels=own).card
    assert guard_cases(options, stranger, (), None, ()) == ("", ())
    mine = options.model_copy(update={"guard": boxes(tmp_path / "boxes")})
    assert [case.name for case in guard_cases(mine, card, (), None, ())[1]] == [
        "image0",
        "image1",
        "image2",
    ]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FineTuneError, match="holds no labelled cases"):
        open_source(tmp_path)


def change(name: str, before: float | None, after: float | None) -> OrganChange:
    return OrganChange(
        label=1,
        name=name,
        dice_before=before,
        dice_after=after,
        hd95_before_mm=None,
        hd95_after_mm=None,
    )


def score_table(*organs: OrganChange, measured: str = "cross-validated") -> ScoreTable:
    return ScoreTable(measured=measured, data="", organs=organs, cases=())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cases", "guard", "good", "words"),
    [
        ((0.5, 0.8), (0.9, 0.9), True, "rose by 0.300 (0.500 to 0.800)"),
        ((0.8, 0.5), (0.9, 0.9), False, "fell by 0.300"),
        ((0.5, 0.8), (0.9, 0.895), True, "guard set the mean Dice fell by 0.005"),
        ((0.5, 0.8), (0.9, 0.88), False, "not recommended"),
        ((0.5, 0.8), None, True, "what was forgotten is not known"),
    ],
)
def test_the_verdict(
    cases: tuple[float, float], guard: tuple[float, float] | None, good: bool, words: str
) -> None:
    watched = None if guard is None else score_table(change("liver", *guard), measured="guard")
    found, sentence = verdict(score_table(change("liver", *cases)), watched, 0.01)
    assert (found, words in sentence) == (good, True), sentence


def test_one_organ_that_falls_deep_is_enough() -> None:
    watched = score_table(change("liver", 0.8, 0.9), change("spleen", 0.9, 0.82), measured="guard")
    good, sentence = verdict(score_table(change("liver", 0.5, 0.8)), watched, 0.01)
    assert not good
    assert "There spleen fell from 0.900 to 0.820." in sentence


def test_a_new_organ_does_not_count_as_gain() -> None:
    table = score_table(change("liver", 0.8, 0.8), change("knob", None, 0.3))
    assert table.gain == 0
    assert table.dice_after == 0.8


def test_too_little_memory_makes_batches_and_then_windows_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = learner_module._loss
    sizes = []

    def short_of_memory(learner: object, groups: list, recipe: object) -> torch.Tensor:
        voxels = sum(group.images.numel() for group in groups)
        sizes.append(voxels)
        if voxels > 8 * 8 * 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return honest(learner, groups, recipe)  # type: ignore[arg-type]

    monkeypatch.setattr(learner_module, "_loss", short_of_memory)
    source = boxes(tmp_path / "boxes", cases=1)
    parent = parent_of_boxes(tmp_path / "p").path
    with cpu_threads(1):
        events = run(source, parent, tmp_path / "x.safetensors", steps=2)
    notes = [e.message for e in events if hasattr(e, "message")]
    assert any("2 windows at once; going on with 1 at a time" in note for note in notes)
    assert any("8x8x8 voxels; going on with 4x8x8" in note for note in notes)
    assert report_of(events).steps == 2
    assert max(sizes[-4:]) <= 8 * 8 * 4


def test_another_failure_is_no_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(learner_module, "_loss", broken)
    source, parent = boxes(tmp_path / "boxes", cases=1), parent_of_boxes(tmp_path / "p").path
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(source, parent, tmp_path / "x.safetensors")


def test_organs_that_only_the_guard_names_are_background() -> None:
    wide = LabelScheme.from_names({1: "spleen", 4: "kidney"})
    learnt = TrainingCase("a", Path("a"), Path("a"), None, NAMES, "a")
    watched = TrainingCase("b", Path("b"), Path("b"), None, wide, "b")
    numbering = Numbering.of(LabelScheme.from_names({1: "liver"}), [learnt], [watched])
    assert numbering.merged.scheme.names == {1: "liver", 2: "spleen"}
    assert numbering.tables([learnt, watched]) == [0, 1]
    assert dict(numbering.merged.tables[1]) == {1: 2, 4: 0}
    labels = numbering.merged.renumber(np.array([[[0, 1, 4]]], np.uint8), 1)
    assert labels.ravel().tolist() == [0, 2, 0]


def test_a_dataset_is_found_by_its_folder(tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes", cases=2)
    assert open_source(source) == open_source(source.parent)
    assert json.loads(source.read_text())["name"] == open_source(source).name


@pytest.mark.parametrize("turned", [False, True])
def test_old_windows_get_the_values_of_new_ones(turned: bool) -> None:
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 10, 10, 10)
    new = (1 - ramp**2 if turned else ramp**2) * 7
    transfer = LookTransfer([new], [ramp], turned)
    found = transfer(torch.from_numpy(ramp), quantiles(ramp), np.random.default_rng(0))
    np.testing.assert_allclose(found, new, atol=0.02)


def test_the_contrast_is_turned_round_where_the_parent_knows_the_negative() -> None:
    assert is_turned_round(0.02, 0.7)
    assert not is_turned_round(0.7, 0.75)
    assert not is_turned_round(None, None)
