from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import (
    EVERY_ORDER,
    ORGANS,
    TINY_UNET,
    grid,
    random_volume,
    stored,
    tiny_card,
    tiny_checkpoint,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Note, Progress, RegionDone, Result
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Reorientation
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.devices import DeviceError, cpu_threads
from napari_hybridseg.inference.finish import InferenceError
from napari_hybridseg.inference.partial import PartialLabels
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.inference.segmenting import modality_notes
from napari_hybridseg.model_card import AsIs, Preprocessing, WindowDefaults, ZScore
from napari_hybridseg.volume import LabelMap, Volume, VolumeError

ONE_THREAD = SegmentOptions(device="cpu", threads=1)
FLAT_UNET = TINY_UNET | {"spatial_dims": 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def labels_of(volume: Volume, checkpoint: Checkpoint, **options: Any) -> LabelMap:
    """Segment, and check on the way that the parts make up the whole."""
    pieces = np.full(volume.geometry.shape, 65535, dtype=np.uint16)
    result = None
    for event in segment(volume, checkpoint, SegmentOptions(device="cpu", threads=1, **options)):
        assert result is None, "an event came after the result"
        if isinstance(event, RegionDone):
            place = tuple(
                slice(s, s + n) for s, n in zip(event.start, event.labels.shape, strict=True)
            )
            assert (pieces[place] == 65535).all(), "a voxel was given twice"
            assert pieces[place].shape == event.labels.shape
            pieces[place] = event.labels
        elif isinstance(event, Result):
            result = event.value
    assert isinstance(result, LabelMap)
    np.testing.assert_array_equal(pieces, result.array)
    assert result.geometry == volume.geometry
    assert result.source == volume.source
    assert result.scheme == checkpoint.card.labels
    return result


def monais(
    image: np.ndarray, checkpoint: Checkpoint, overlap: float = 0.5, importance: str = "gaussian"
) -> np.ndarray:
    """Give MONAI's label map of a prepared image, as label numbers."""
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(image)[None],
            checkpoint.card.windows.size,
            1,
            checkpoint.build_network(),
            overlap=overlap,
            mode=importance,
        )
    return np.array([0, *ORGANS.ids])[logits[0].argmax(dim=0).numpy()]


@pytest.mark.parametrize("importance", ["gaussian", "constant"])
@pytest.mark.parametrize("overlap", [0.5, 0.25])
@pytest.mark.parametrize("shape", [(8, 8, 8), (13, 17, 9), (5, 20, 11), (3, 4, 5), (1, 16, 16)])
def test_labels_are_monais(
    tiny: Checkpoint, shape: tuple[int, int, int], overlap: float, importance: str
) -> None:
    volume = random_volume(shape)
    image = volume.array.astype(np.float64)
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    expected = monais(image, tiny, overlap, importance)
    assert len(np.unique(expected)) > 1
    result = labels_of(volume, tiny, overlap=overlap, importance=importance)
    np.testing.assert_array_equal(result.array, expected)


def test_the_cards_windows_are_taken_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(
        tmp_path, windows=WindowDefaults(size=(8, 8, 8), overlap=0.75, importance="constant")
    )
    volume = random_volume((12, 12, 12))
    np.testing.assert_array_equal(
        labels_of(volume, checkpoint).array,
        labels_of(volume, checkpoint, overlap=0.75, importance="constant").array,
    )
    *_, last = (e for e in segment(volume, checkpoint, ONE_THREAD) if isinstance(e, Progress))
    assert last.total == 3**3


@pytest.mark.parametrize("spacing", [(0.7, 0.9, 1.1), (3.0, 2.5, 4.0), (1.0, 3.0, 0.8)])
def test_another_spacing_is_undone_on_the_logits(
    tmp_path: Path, spacing: tuple[float, float, float]
) -> None:
    checkpoint = tiny_checkpoint(tmp_path, preprocessing=Preprocessing(spacing=spacing))
    volume = random_volume((11, 10, 12))
    prepared = prepare(volume, checkpoint.card.preprocessing)
    assert prepared.working.shape != volume.geometry.shape
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(prepared.array)[None],
            (8, 8, 8),
            1,
            checkpoint.build_network(),
            overlap=0.5,
            mode="gaussian",
        )
        logits = torch.nn.functional.interpolate(
            logits, size=volume.geometry.shape, mode="trilinear"
        )
    expected = np.array([0, *ORGANS.ids])[logits[0].argmax(dim=0).numpy()]
    np.testing.assert_array_equal(labels_of(volume, checkpoint).array, expected)


BASE = grid((7, 9, 10), angles=(8, -12, 30))
VOXELS = np.random.default_rng(4).normal(size=(1, *BASE.shape)).astype(np.float32)


@pytest.fixture(scope="module", params=["LPS", "RAS"])
def turned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkpoint, np.ndarray]:
    """Give a checkpoint of an orientation, and its labels for the volume as stored in LPS."""
    checkpoint = tiny_checkpoint(
        tmp_path_factory.mktemp("turned"),
        preprocessing=Preprocessing(orientation=request.param, spacing=(1.2, 1.4, 1.6)),
    )
    volume = Volume.from_stored(stored(VOXELS, BASE, EVERY_ORDER[0]))
    return checkpoint, labels_of(volume, checkpoint).array


@pytest.mark.parametrize("order", EVERY_ORDER, ids=str)
def test_the_result_does_not_depend_on_how_the_file_is_stored(
    turned: tuple[Checkpoint, np.ndarray], order: Reorientation
) -> None:
    checkpoint, expected = turned
    result = labels_of(Volume.from_stored(stored(VOXELS, BASE, order)), checkpoint)
    np.testing.assert_array_equal(result.array, expected)
    np.testing.assert_array_equal(result.to_source(result.array), order.apply(expected))


def test_orientation_matters_to_the_network(tmp_path: Path) -> None:
    volume = Volume.from_stored(stored(VOXELS, BASE, EVERY_ORDER[0]))
    one, other = (
        labels_of(
            volume, tiny_checkpoint(tmp_path, name=o, preprocessing=Preprocessing(orientation=o))
        )
        for o in ("LPS", "RAS")
    )
    assert (one.array != other.array).any()


@pytest.mark.parametrize("order", EVERY_ORDER[::5], ids=str)
def test_as_stored_sees_the_array_of_the_file(tmp_path: Path, order: Reorientation) -> None:
    checkpoint = tiny_checkpoint(
        tmp_path, preprocessing=Preprocessing(orientation="as-stored", intensity=ZScore())
    )
    image = stored(VOXELS, BASE, order)
    result = labels_of(Volume.from_stored(image), checkpoint)
    normal = prepare(Volume.from_stored(image), checkpoint.card.preprocessing).array
    np.testing.assert_array_equal(result.to_source(result.array), monais(normal, checkpoint))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_network_goes_slice_by_slice(tmp_path: Path, axis: int) -> None:
    size = [8, 8, 8]
    size[axis] = 1
    checkpoint = tiny_checkpoint(
        tmp_path, config=FLAT_UNET, windows=WindowDefaults(size=tuple(size), slice_axis=axis)
    )
    volume = random_volume((10, 9, 12))
    image = prepare(volume, checkpoint.card.preprocessing).array
    network = checkpoint.build_network()
    slices = []
    for plane in np.moveaxis(image[0], axis, 0):
        with torch.inference_mode():
            logits = sliding_window_inference(
                torch.from_numpy(np.ascontiguousarray(plane))[None, None],
                (8, 8),
                1,
                network,
                overlap=0.5,
                mode="gaussian",
            )
        slices.append(np.array([0, *ORGANS.ids])[logits[0].argmax(dim=0).numpy()])
    expected = np.stack(slices, axis=axis)
    np.testing.assert_array_equal(labels_of(volume, checkpoint).array, expected)


def test_mirroring_makes_the_result_symmetric(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(
        tmp_path, windows=WindowDefaults(size=(8, 8, 8), mirror_axes=(0, 2))
    )
    volume = random_volume((8, 8, 8))
    flipped = Volume(
        geometry=volume.geometry,
        source=volume.source,
        array=np.ascontiguousarray(volume.array[:, ::-1, :, ::-1]),
    )
    one, other = (labels_of(v, checkpoint, tta=True).array for v in (volume, flipped))
    assert (one != other[::-1, :, ::-1]).mean() < 0.01
    plain, plain_flipped = (labels_of(v, checkpoint).array for v in (volume, flipped))
    assert (plain != plain_flipped[::-1, :, ::-1]).mean() > 0.01


def test_label_numbers_are_the_schemes(tiny: Checkpoint) -> None:
    result = labels_of(random_volume((12, 12, 12)), tiny)
    assert result.array.dtype == np.uint16  # the aorta is number 300
    assert set(result.present) <= set(ORGANS.ids)
    assert result.array.flags.c_contiguous


def test_what_is_no_number_is_said_and_does_no_harm(tiny: Checkpoint) -> None:
    volume = random_volume((9, 9, 9))
    low = volume.array.min()
    for value in (np.nan, np.inf, -np.inf):
        damaged, mended = volume.array.copy(), volume.array.copy()
        damaged[0, 2:4, 3, 3], mended[0, 2:4, 3, 3] = value, low
        bad, good = (
            Volume(geometry=volume.geometry, source=volume.source, array=a, name="x")
            for a in (damaged, mended)
        )
        notes = [e.message for e in segment(bad, tiny, ONE_THREAD) if isinstance(e, Note)]
        assert len(notes) == 1
        assert "2 voxels of x" in notes[0]
        result = labels_of(bad, tiny)
        assert result.notes == tuple(notes)
        np.testing.assert_array_equal(result.array, labels_of(good, tiny).array)


def test_a_volume_without_numbers_is_refused(tiny: Checkpoint) -> None:
    empty = Volume.from_stored(StoredImage(np.full((1, 4, 4, 4), np.nan), grid((4, 4, 4))), "ct")
    with pytest.raises(VolumeError, match="ct holds no numbers"):
        list(segment(empty, tiny, ONE_THREAD))


@pytest.mark.parametrize(("channels", "words"), [(2, "2 channels"), (4, "4 channels")])
def test_other_channels_are_refused(tiny: Checkpoint, channels: int, words: str) -> None:
    with pytest.raises(VolumeError, match=f"noise has {words}, and tiny was trained on 1"):
        list(segment(random_volume(channels=channels), tiny, ONE_THREAD))


def test_several_channels(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path, in_channels=2)
    volume = random_volume((9, 10, 11), channels=2)
    image = prepare(volume, checkpoint.card.preprocessing).array
    np.testing.assert_array_equal(labels_of(volume, checkpoint).array, monais(image, checkpoint))


def test_an_unknown_device_gets_one_sentence(tiny: Checkpoint) -> None:
    with pytest.raises(DeviceError, match="There is no device 'cuda:99' here"):
        list(segment(random_volume(), tiny, SegmentOptions(device="cuda:99")))


def test_progress_counts_up_to_the_end(tiny: Checkpoint) -> None:
    one_by_one = ONE_THREAD.model_copy(update={"batch": 1})
    events = list(segment(random_volume((16, 16, 16)), tiny, one_by_one))
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "Segmenting"]
    assert [e.done for e in steps] == list(range(3**3 + 1))
    assert {e.total for e in steps} == {3**3}
    assert steps[0].eta_s is None
    assert steps[-1].eta_s == 0
    assert all(e.eta_s is not None and e.eta_s >= 0 for e in steps[1:])
    first_region = next(i for i, e in enumerate(events) if isinstance(e, RegionDone))
    assert first_region < events.index(steps[-1])


def test_the_callers_volume_and_network_are_left_as_they_were(tiny: Checkpoint) -> None:
    volume, network = random_volume((9, 9, 9)), tiny.build_network()
    before = volume.array.copy(), {k: v.clone() for k, v in network.state_dict().items()}
    *_, last = segment(volume, tiny, ONE_THREAD, network=network)
    assert isinstance(last, Result)
    np.testing.assert_array_equal(volume.array, before[0])
    torch.testing.assert_close(dict(network.state_dict()), before[1], rtol=0, atol=0)
    np.testing.assert_array_equal(last.value.array, labels_of(volume, tiny).array)


@settings(max_examples=25)
@given(after=st.integers(0, 40))
def test_cancel_at_any_moment(tiny: Checkpoint, after: int) -> None:
    running = threading.active_count()
    with cpu_threads(3):
        events = segment(random_volume((16, 16, 16)), tiny, ONE_THREAD)
        for _, _event in zip(range(after), events, strict=False):
            assert torch.get_num_threads() == 3, "between events the threads are the caller's"
        events.close()  # type: ignore[attr-defined]
        assert torch.get_num_threads() == 3
    end = time.monotonic() + 10  # a thread that was in the middle of a window finishes it
    while threading.active_count() > running and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == running
    assert next(events, None) is None


def test_a_failing_network_gives_the_threads_back(tiny: Checkpoint) -> None:
    class Broken(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken")

    with cpu_threads(3):
        with pytest.raises(RuntimeError, match="broken"):
            list(segment(random_volume(), tiny, ONE_THREAD, network=Broken()))
        assert torch.get_num_threads() == 3


def test_a_volume_of_another_modality_is_said() -> None:
    card = tiny_card(modality="CT")
    volume = replace(random_volume((4, 5, 6)), name="brain", modality="MR")
    assert modality_notes(volume, card) == (f"{card.name} was made for CT; brain is MR.",)
    assert modality_notes(replace(volume, modality="CT"), card) == ()
    assert modality_notes(replace(volume, modality=""), card) == ()


def steps_of(events: list[Any]) -> list[Progress]:
    return [e for e in events if isinstance(e, Progress) and e.stage == "Segmenting"]


def test_mirrored_copies_count_as_steps(tmp_path: Path) -> None:
    windows = WindowDefaults(size=(8, 8, 8), mirror_axes=(0, 2))
    checkpoint = tiny_checkpoint(tmp_path, windows=windows)
    options = ONE_THREAD.model_copy(update={"batch": 2, "tta": True})
    steps = steps_of(list(segment(random_volume((8, 8, 16)), checkpoint, options)))
    # two windows and then one, four passes each
    assert [e.done for e in steps] == [0, 2, 4, 6, 8, 9, 10, 11, 12]
    assert {e.total for e in steps} == {3 * 4}


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_change_no_label(tiny: Checkpoint, batch: int) -> None:
    volume = random_volume((13, 17, 9))
    np.testing.assert_array_equal(
        labels_of(volume, tiny, batch=batch).array, labels_of(volume, tiny).array
    )


def test_nothing_is_handed_over_when_nobody_watches(tiny: Checkpoint) -> None:
    options = ONE_THREAD.model_copy(update={"live": False})
    events = list(segment(random_volume((16, 16, 16)), tiny, options))
    assert not [e for e in events if isinstance(e, RegionDone)]
    assert isinstance(events[-1], Result)


def test_windows_of_one_value_get_the_networks_answer(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path, preprocessing=Preprocessing(intensity=AsIs()))
    volume = random_volume((8, 8, 40))
    volume.array[..., 16:] = -7
    expected = monais(volume.array, checkpoint)
    np.testing.assert_array_equal(labels_of(volume, checkpoint, batch=1).array, expected)


def test_only_the_body_is_looked_at(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(
        tmp_path, modality="CT", preprocessing=Preprocessing(intensity=AsIs())
    )
    volume = replace(random_volume((20, 40, 40)), modality="CT")
    volume.array[:] -= 1000
    volume.array[:, 4:16, 12:28, 14:26] += 1000
    events = list(segment(volume, checkpoint, ONE_THREAD))
    (note,) = (e.message for e in events if isinstance(e, Note))
    assert note.startswith("Only the body was looked at")
    off, on = (labels_of(volume, checkpoint, body_crop=crop) for crop in ("off", "auto"))
    np.testing.assert_array_equal(off.array, monais(volume.array, checkpoint))
    assert on.notes == (note,)
    assert (on.array[:, 0] == 0).all()
    assert (on.array != 0).any()


def test_a_window_that_the_network_cannot_take_is_one_sentence(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path, windows=WindowDefaults(size=(7, 8, 8)))

    class Strict(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("Sizes of tensors must match except in dimension 1.")

    with pytest.raises(InferenceError, match=r"cannot take windows of 7×8×8 .* such as 8×8×8"):
        list(segment(random_volume((9, 9, 9)), checkpoint, ONE_THREAD, network=Strict()))


def test_a_cancelled_run_can_be_kept_as_far_as_it_went(tiny: Checkpoint) -> None:
    volume = random_volume((40, 8, 8))
    kept, events = PartialLabels(volume, tiny.card.labels), segment(volume, tiny, ONE_THREAD)
    for event in events:
        if isinstance(event, RegionDone):
            kept.take(event)
        if kept.part > 0.3:
            break
    events.close()  # type: ignore[attr-defined]
    assert 0.3 < kept.part < 1
    part, whole = kept.label_map(), labels_of(volume, tiny)
    rows = round(kept.part * 40)
    np.testing.assert_array_equal(part.array[:rows], whole.array[:rows])
    assert not part.array[rows:].any()
    assert "cancelled" in part.notes[0]


def test_a_wish_for_mirroring_that_the_card_does_not_allow_is_said(tiny: Checkpoint) -> None:
    volume = random_volume((8, 8, 8))
    options = ONE_THREAD.model_copy(update={"tta": True})
    (note,) = (e.message for e in segment(volume, tiny, options) if isinstance(e, Note))
    assert "allows no mirroring" in note


def test_a_ct_without_a_body_is_said(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path, modality="CT")
    volume = replace(random_volume((12, 12, 12)), modality="CT")
    volume.array[:] = -1000
    events = segment(volume, checkpoint, ONE_THREAD)
    (note,) = (e.message for e in events if isinstance(e, Note))
    assert note.startswith("No body stands out in ")
    assert "Hounsfield" in note
