"""What a newcomer opens first: shipped phantoms, and real public volumes to fetch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.utils.notifications import show_info

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.resources import sample_volumes_folder
from napari_hybridseg.volume import load_label_map, load_volume
from napari_hybridseg.widgets.layer_data import (
    GOES_WITH,
    LayerData,
    label_map_layer,
    volume_layers,
)
from napari_hybridseg.widgets.preferences import Preferences

_TIMEOUT_S = 15


class SampleError(HybridSegError):
    """A sample that cannot be had."""


@dataclass(frozen=True)
class PublicFile:
    """A file at a fixed commit of a public repository."""

    repository: str
    commit: str
    path: str
    sha256: str
    licence: str

    @property
    def url(self) -> str:
        """Where the file itself is."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


HIPPOCAMPUS = PublicFile(
    repository="udacity/nd320-c3-3d-imaging-starter",
    commit="895fee683624aafe2033521f4d9b6d99accd66d5",
    path="data/TrainingSet/images/hippocampus_004.nii.gz",
    sha256="353a2ba9afe7f2a2b04276d9b35bc46cab36826e74d61b100b210a9dd8d348d9",
    licence="Hippocampus MR: Medical Segmentation Decathlon, Task04, CC BY-SA 4.0.",
)
BODY_CT = PublicFile(
    repository="wasserth/TotalSegmentator",
    commit="0e65a448d557382b1e925276212b3bec7f5aff83",
    path="tests/reference_files/example_ct.nii.gz",
    sha256="86516db20143f97e70d6ae038b6b0390c0d0fd50efe46ec7c5dfa30a92af93b1",
    licence="Body CT: example file of TotalSegmentator's repository (Apache-2.0).",
)


_TORSO_CHECKPOINT = "torso-utnetv2-3d"


def torso_a() -> list[LayerData]:
    """Open the phantom as scanner A sees it, with its reference."""
    return _shipped("torso_a.nii.gz", "torso_a_reference.nii.gz")


def torso_b() -> list[LayerData]:
    """Open the phantom as scanner B sees it, with its reference."""
    return _shipped("torso_b.nrrd", "torso_b_reference.nrrd")


def hippocampus() -> list[LayerData]:
    """Fetch an MR of a hippocampus."""
    return _fetched(HIPPOCAMPUS)


def body_ct() -> list[LayerData]:
    """Fetch a CT of abdomen and pelvis."""
    return _fetched(BODY_CT)


def _shipped(volume: str, reference: str) -> list[LayerData]:
    folder = sample_volumes_folder()
    data, attributes, kind = label_map_layer(load_label_map(folder / reference))
    # hidden at first: the newcomer is to see the scan, then the network's result on it
    hidden = (data, attributes | {"visible": False}, kind)
    origin = {GOES_WITH: _TORSO_CHECKPOINT}
    return [*volume_layers(load_volume(folder / volume), origin), hidden]


def _fetched(file: PublicFile) -> list[LayerData]:
    layers = volume_layers(load_volume(fetch(file)))
    show_info(file.licence)
    return layers


def fetch(file: PublicFile) -> Path:
    """Give the path of a public file, from the cache or the network.

    Raises
    ------
    SampleError
        If it cannot be reached, or is not the file that it should be.
    """
    import pooch

    name = Path(file.path).name
    try:
        got = pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}",
            fname=name,
            path=Preferences().cache_folder,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_S),
        )
    except OSError as error:
        raise SampleError(
            f"{name} could not be fetched from github.com; check the network connection, or open "
            "the torso phantom, which needs none."
        ) from error
    except ValueError as error:
        raise SampleError(
            f"{name} on github.com is not the file that was published; it was not opened."
        ) from error
    return Path(got)
