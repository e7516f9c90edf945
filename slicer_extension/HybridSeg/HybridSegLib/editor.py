"""Slicer's Segment Editor, opened on a segmentation."""

from __future__ import annotations

from typing import Any

import slicer


class SegmentEditor:
    """Takes the user to the module Segment Editor; see ``seams.Editor``."""

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Open the module, with a segmentation and its source volume chosen."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
