"""Our parameter names of UTNetV2 and MedFormer in the words of the authors' code."""

from __future__ import annotations

import re

from napari_hybridseg.networks.utnetv2_config import UTNetFamilyConfig, is_medformer_3d

_RULES: tuple[tuple[str, str], ...] = (
    (r"^stem\.conv\.", "inc.conv1."),
    (r"^stem\.block\.", "inc.conv2."),
    (r"^head\.", "outc."),
    (r"^auxiliary_head\.", "aux_out."),
    (r"^map_fusion\.project_in\.", "map_fusion.in_proj."),
    (r"^map_fusion\.project_out\.", "map_fusion.out_proj."),
    (r"^map_fusion\.layers\.", "map_fusion.fusion.layers."),
    (r"\.attention_norm\.", ".0.norm."),
    (r"\.attention\.query_key_value\.", ".0.fn.to_qkv."),
    (r"^(map_fusion.*)\.attention\.out\.", r"\1.0.fn.to_out."),
    (r"\.perceptron_norm\.", ".1.norm."),
    (r"\.perceptron_in\.", ".1.fn.fc1."),
    (r"\.perceptron_out\.", ".1.fn.fc2."),
    (r"\.merge\.reduce\.", ".patch_merging.reduction."),
    (r"\.merge\.", ".patch_merging."),
    (r"\.map_projection\.", ".patch_merging.map_projection."),
    (r"\.map_generation\.values\.", ".map_gen.base_proj."),
    (r"\.map_generation\.scores\.", ".map_gen.semantic_proj."),
    (r"^((?:encoder|decoder)\.\d+)\.attention\.", r"\1.trans_blocks.blocks."),
    (r"^((?:encoder|decoder)\.\d+)\.convs\.", r"\1.conv_blocks."),
    (r"^(decoder\.\d+)\.reduce\.", r"\1.reduction."),
    (r"^(decoder\.\d+)\.map_reduce\.", r"\1.map_reduction."),
    (r"\.first\.", ".conv1."),
    (r"\.second\.", ".conv2."),
    (r"\.feature_norm\.", ".norm1."),
    (r"\.map_norm\.", ".norm2."),
    (r"\.attention\.feature_query_value\.", ".attn.feat_qv."),
    (r"\.attention\.feature_out\.", ".attn.feat_out."),
    (r"\.attention\.map_query_value\.", ".attn.map_qv."),
    (r"\.attention\.map_out\.", ".attn.map_out."),
    (r"\.feed_forward\.", ".feedforward."),
    (r"\.feedforward\.project\.", ".feedforward.pointwise."),
    (r"\.gate\.squeeze\.", ".gate.excitation.0."),
    (r"\.gate\.excite\.", ".gate.excitation.2."),
)

_STAGE = re.compile(r"^(encoder|decoder)\.(\d+)\.")
_DEAD = re.compile(
    r"^up[34]\.map_reduction\.weight$|^up2\.trans_blocks\.blocks\.\d+\.attn\.map_out\.weight$"
)


def authors_name(name: str, config: UTNetFamilyConfig) -> str:
    """Give the authors' name of one of our parameters.

    Parameters
    ----------
    name : str
        A key of our state dict.
    config : UTNetFamilyConfig
        Its network's settings; they decide the names inside the inverted residual blocks.
    """
    fused = config.projection == "linear"
    for pattern, replacement in (
        *_RULES,
        (
            r"\.feedforward\.expand\.",
            ".feedforward.conv3x3." if fused else ".feedforward.expand_proj.",
        ),
        (r"\.gate\.", ".se." if config.dims == 3 and not fused else ".se_block."),
    ):
        name = re.sub(pattern, replacement, name)
    return _STAGE.sub(_authors_stage, name)


def is_dead(authors_key: str, config: UTNetFamilyConfig) -> bool:
    """Say whether a parameter of older 3D MedFormer files never had an effect.

    The authors removed those in 2023-03: the map projections of up3 and up4, and the last map
    output of up2, whose result nothing reads.
    """
    return is_medformer_3d(config) and _DEAD.match(authors_key) is not None


def _authors_stage(match: re.Match[str]) -> str:
    direction = "down" if match[1] == "encoder" else "up"
    return f"{direction}{int(match[2]) + 1}."
