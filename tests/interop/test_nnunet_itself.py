"""A model that nnU-Net's own trainer saved, against nnU-Net's own predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from foreign_support import rebuilt, write_json
from nnunet_support import PLAIN, configuration, dataset_json, plans

from napari_hybridseg.checkpoint import save_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.interop import import_checkpoint
from napari_hybridseg.volume import Volume

pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed")

FULL = "3d_fullres"
SPACING = (0.8, 1.0, 3.0)
THIN = (0.9, 1.2, 1.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Let nnU-Net's trainer write a trained model's folder with two folds."""
    root = tmp_path_factory.mktemp("nnunet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, str(root / name))
        # the trainer looks at the kind of the preprocessed files
        preprocessed = root / "nnUNet_preprocessed" / "Dataset007_Liver" / "nnUNetPlans"
        preprocessed.mkdir(parents=True)
        (preprocessed / "case.npz").touch()
        patch.setenv("nnUNet_compile", "false")
        return write_with_trainer(root / "model")


def write_with_trainer(target):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    every = plans({FULL: configuration(PLAIN)})
    write_json(target / "plans.json", every)
    write_json(target / "dataset.json", dataset_json())
    for fold in range(2):
        torch.manual_seed(fold)
        given = {**every, "continue_training": False}
        trainer = nnUNetTrainer(given, FULL, fold, dataset_json(), device=torch.device("cpu"))
        trainer.initialize()
        path = target / f"fold_{fold}" / "checkpoint_final.pth"
        path.parent.mkdir()
        trainer.save_checkpoint(str(path))
    return target


@pytest.fixture(scope="module")
def predictor(folder):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    made = nnUNetPredictor(
        tile_step_size=0.5, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
    )
    made.initialize_from_trained_model_folder(str(folder), (0, 1), "checkpoint_final.pth")
    return made


def image(shape, spacing, border=0):
    """Make a volume with a frame of zeros."""
    values = np.random.default_rng(0).normal(40, 60, size=shape).astype(np.float32)
    frame = np.zeros(shape, dtype=bool)
    frame[tuple(slice(border, n - border) for n in shape)] = True
    grid = Geometry(shape[::-1], spacing, (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return Volume.from_stored(StoredImage(array=np.where(frame, values, 0)[None], geometry=grid))


def test_same_logits_as_each_fold_and_as_their_mean(folder, predictor):
    window = torch.randn(1, 1, 8, 16, 16)
    each = []
    for index, weights in enumerate(predictor.list_of_parameters):
        predictor.network.load_state_dict(weights)
        predictor.network.eval()
        with torch.no_grad():
            each.append(predictor.network(window))
            ours = rebuilt(import_checkpoint(folder, folds=[str(index)]))(window)
        torch.testing.assert_close(ours, each[-1], atol=1e-5, rtol=0)
    with torch.no_grad():
        both = rebuilt(import_checkpoint(folder))(window)
    torch.testing.assert_close(both, sum(each) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spacing", [SPACING, THIN])
def test_same_array_as_nnunets_preprocessor(folder, predictor, spacing):
    volume = image((9, 20, 22), spacing, border=2)
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    expected, _, properties = preprocessor.run_case_npy(
        volume.array.copy(),
        None,
        {"spacing": list(spacing[::-1])},
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.dataset_json,
    )
    prepared = prepare(volume, import_checkpoint(folder).card.preprocessing)
    np.testing.assert_allclose(prepared.array, expected, atol=1e-5)
    cropped = [[part.start, part.stop] for part in prepared.box]
    assert cropped == properties["bbox_used_for_cropping"]


def labels_of_both(folder, predictor, tmp_path, volume, spacing):
    imported = import_checkpoint(folder)
    checkpoint = save_checkpoint(tmp_path / "a.safetensors", imported.weights, imported.card)
    *_, last = segment(volume, checkpoint, SegmentOptions(device="cpu"))
    assert isinstance(last, Result)
    theirs = predictor.predict_single_npy_array(
        volume.array.copy(), {"spacing": list(spacing[::-1])}
    )
    return last.value.array, theirs


def test_same_labels_where_one_window_holds_the_volume(folder, predictor, tmp_path):
    own = (0.9, 1.2, 3.0)
    volume = image((7, 14, 16), own, border=1)
    ours, theirs = labels_of_both(folder, predictor, tmp_path, volume, own)
    assert len(np.unique(theirs)) > 1
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("shape", "spacing", "agreement"),
    [
        # two windows an axis, which both lay alike and blend a little differently
        ((12, 24, 24), (0.9, 1.2, 3.0), 0.9),
        # thick slices, brought to that grid and back
        ((9, 20, 28), (0.7714286, 1.44, 4.0), 0.85),
    ],
)
def test_nearly_the_same_labels_with_many_windows(
    folder, predictor, tmp_path, shape, spacing, agreement
):
    # random weights on noise: nothing is as sensitive to small differences
    ours, theirs = labels_of_both(folder, predictor, tmp_path, image(shape, spacing), spacing)
    assert len(np.unique(theirs)) > 1
    assert (ours == theirs).mean() > agreement
