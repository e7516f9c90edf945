"""What a user can choose about a segmentation run."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class SegmentOptions(BaseModel):
    """Choices of a run; None means what the checkpoint's card says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(
        default="auto",
        title="Device",
        description="Where the network runs: auto, cpu, cuda, cuda:1 (the second GPU) or mps; "
        "'auto' takes a GPU where there is one.",
    )
    overlap: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        title="Overlap",
        description="The part of a window that it shares with the next: more is smoother and "
        "slower. On a large volume 0.25 takes about two and 0.5 about six times the windows "
        "of 0.",
    )
    importance: Literal["gaussian", "constant"] | None = Field(
        default=None,
        title="Blending",
        description="How overlapping windows are weighed: by nearness to a window's centre, or "
        "all alike. Costs no time.",
    )
    tta: bool = Field(
        default=False,
        title="Mirror",
        description="Average with mirrored copies, along the axes that the checkpoint allows: "
        "often a little better; one axis takes two, two axes four, three axes eight times as long.",
    )
    body_crop: Literal["auto", "on", "off"] = Field(
        default="auto",
        title="Only the body",
        description="Run windows only where the body is, which in a CT halves their number; "
        "outside is background. 'auto' does so for CT. 'off' lays exactly MONAI's windows.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        title="Precision",
        description="Numbers that the network calculates with; 'auto' is float32 on a CPU and "
        "mixed precision on a GPU. The shorter ones, bfloat16 and float16, take less "
        "time and memory of a GPU; on a CPU bfloat16 is only sometimes faster and float16 is "
        "slower. Some voxels at borders may differ.",
    )
    backend: Literal["auto", "winograd", "torch", "openvino", "onnx"] = Field(
        default="auto",
        title="Backend",
        description="What runs the network; 'auto' takes the fastest exact one, which is measured "
        "once, for some seconds. 'winograd' is this program's own convolutions for a CPU; OpenVINO "
        "and ONNX Runtime run on a CPU, too.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        title="CPU threads",
        description="Automatic (0) takes all cores, or leaves one to the viewer when there is a "
        "viewer.",
        json_schema_extra={"minimum_reads": "automatic"},
    )
    batch: int = Field(
        default=0,
        ge=0,
        le=64,
        title="Windows at a time",
        description="Automatic (0) gives a CPU one large window or several small ones, and a GPU "
        "as many as its memory holds; more takes more memory and is rarely faster.",
        json_schema_extra={"minimum_reads": "automatic"},
    )
    live: bool = Field(
        default=True,
        title="Show as it comes",
        description="Hand finished parts over while the rest is computed, so that a cancelled run "
        "can be kept as far as it went; costs next to nothing.",
    )

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", device):
            raise ValueError(f"{device!r} is none; choose auto, cpu, cuda, cuda:1 or mps")
        return device
