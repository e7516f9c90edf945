"""Names by which people tell label maps from volumes."""

from __future__ import annotations

import re

LABEL_WORDS = frozenset(
    ("label", "labels", "seg", "segmentation", "reference", "mask", "gt", "groundtruth", "truth")
)


def words_of(name: str) -> list[str]:
    """Give the words of a file's or layer's name: ``ct``, ``1``, ``seg`` for ``CT_1-seg``."""
    return re.findall(r"[^\W_]+", name.lower())
