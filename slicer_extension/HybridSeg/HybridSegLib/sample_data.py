"""Volumes for a first try, offered in Slicer's Sample Data module."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

CATEGORY = "HybridSeg"


class Sample(NamedTuple):
    """A file at a fixed commit of a public repository."""

    name: str
    title: str
    repository: str
    commit: str
    path: str
    sha256: str
    licence: str

    @property
    def url(self) -> str:
        """Where the file itself is."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


SAMPLES = (
    Sample(
        name="HybridSegHippocampus",
        title="Hippocampus MR",
        repository="udacity/nd320-c3-3d-imaging-starter",
        commit="895fee683624aafe2033521f4d9b6d99accd66d5",
        path="data/TrainingSet/images/hippocampus_004.nii.gz",
        sha256="353a2ba9afe7f2a2b04276d9b35bc46cab36826e74d61b100b210a9dd8d348d9",
        licence="MSD Task04, CC BY-SA 4.0",
    ),
    Sample(
        name="HybridSegBodyCT",
        title="Body CT",
        repository="wasserth/TotalSegmentator",
        commit="0e65a448d557382b1e925276212b3bec7f5aff83",
        path="tests/reference_files/example_ct.nii.gz",
        sha256="86516db20143f97e70d6ae038b6b0390c0d0fd50efe46ec7c5dfa30a92af93b1",
        licence="TotalSegmentator, Apache-2.0",
    ),
)


def register(logic: Any, icons: Path) -> None:
    """Offer the samples.

    Parameters
    ----------
    logic : type
        ``SampleData.SampleDataLogic``.
    icons : Path
        The folder of the module's icons; a sample's thumbnail has its name there.
    """
    for sample in SAMPLES:
        thumbnail = Path(icons) / f"{sample.name}.png"
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=f"{sample.title} ({sample.licence})",
            thumbnailFileName=str(thumbnail),
            uris=sample.url,
            fileNames=Path(sample.path).name,
            checksums=f"SHA256:{sample.sha256}",
            nodeNames=sample.title,
            loadFileType="VolumeFile",
        )
