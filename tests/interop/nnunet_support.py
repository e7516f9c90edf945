"""nnU-Net v2 trained models, written by hand as nnU-Net lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from foreign_support import network, write_json
from torch import nn

PLAIN = {
    "channels": (4, 6, 8),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    "blocks": (2, 2, 2),
}
RESIDUAL = {**PLAIN, "blocks": (1, 2, 3), "decoder_blocks": 1}
FLAT = {
    "spatial_dims": 2,
    "channels": (4, 6, 8),
    "kernels": ((3, 3),) * 3,
    "strides": ((1, 1), (2, 2), (2, 2)),
    "blocks": (2, 2, 2),
}
MEASURED = {
    "mean": 40.0,
    "std": 30.0,
    "percentile_00_5": -100.0,
    "percentile_99_5": 200.0,
    "min": -900.0,
    "max": 900.0,
    "median": 35.0,
}
LABELS = {"background": 0, "liver": 1, "tumour": 2}


def dataset_json(**changes: Any) -> dict[str, Any]:
    return {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": 5,
        "file_ending": ".nii.gz",
        **changes,
    }


def architecture(config: dict[str, Any], residual: bool = False) -> dict[str, Any]:
    """Say a network's config as a plan of nnU-Net 2.4 and later does."""
    flat = config.get("spatial_dims") == 2
    dims = 2 if flat else 3
    stages = len(config["channels"])
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet."
        + ("ResidualEncoderUNet" if residual else "PlainConvUNet"),
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(config["channels"]),
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [list(size) for size in config["kernels"]],
            "strides": [list(step) for step in config["strides"]],
            "n_blocks_per_stage" if residual else "n_conv_per_stage": list(config["blocks"]),
            "n_conv_per_stage_decoder": [config.get("decoder_blocks", 2)] * (stages - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write one configuration of a plan."""
    flat = config.get("spatial_dims") == 2
    size = [16, 16] if flat else [8, 16, 16]
    spacing = [1.2, 0.9] if flat else [3.0, 1.2, 0.9]
    return {
        "data_identifier": "nnUNetPlans",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": size,
        "median_image_size_in_voxels": [20.0] * len(size),
        "spacing": spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling(order=3),
        "resampling_fn_seg_kwargs": {**resampling(order=1), "is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling(order=1),
        "batch_dice": True,
        "architecture": architecture(config),
        **changes,
    }


def resampling(order: int) -> dict[str, Any]:
    return {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}


def plans(configurations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "dataset_name": "Dataset007_Liver",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.2, 0.9],
        "original_median_shape_after_transp": [10, 20, 20],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": MEASURED},
        **changes,
    }


def aliased_state(built: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights as nnU-Net's library lists them: many under two or three names."""
    own = built.state_dict()
    state = {}
    for key, value in own.items():
        state[key] = value
        for name, place in (("conv", "0"), ("norm", "1")):
            if f".all_modules.{place}." in key:
                state[key.replace(f"all_modules.{place}", name)] = value
    encoder = {key: value for key, value in state.items() if key.startswith("encoder.")}
    return state | {f"decoder.{key}": value for key, value in encoder.items()}


def fold(built: nn.Module, name: str, mirrored: Any = (0, 1, 2)) -> dict[str, Any]:
    """Write what nnU-Net's trainer saves."""
    return {
        "network_weights": aliased_state(built),
        "optimizer_state": {"state": {}, "param_groups": []},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "lrs": [0.01]},
        "_best_ema": np.float64(0.7),
        "current_epoch": 1000,
        "init_args": {"configuration": name, "fold": 0, "device": torch.device("cuda")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": mirrored,
    }


def write_model(
    folder: Path,
    members: dict[str, nn.Module],
    name: str,
    all_plans: dict[str, Any],
    dataset: dict[str, Any] | None = None,
    mirrored: Any = (0, 1, 2),
) -> Path:
    """Write a trained model's folder, with a fold for each of ``members``."""
    write_json(folder / "plans.json", all_plans)
    write_json(folder / "dataset.json", dataset or dataset_json())
    for key, built in members.items():
        target = folder / f"fold_{key}" / "checkpoint_final.pth"
        target.parent.mkdir(parents=True)
        torch.save(fold(built, name, mirrored), target)
    return folder


def member(config: dict[str, Any], residual: bool = False, seed: int = 0) -> nn.Module:
    built = network("residual-encoder-unet" if residual else "plain-conv-unet", 1, 3, config)
    torch.manual_seed(seed)
    for parameter in built.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return built
