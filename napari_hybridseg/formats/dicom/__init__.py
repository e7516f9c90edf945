"""DICOM: series into volumes, SEG and RTSTRUCT into label maps, label maps into SEG."""

from __future__ import annotations

from napari_hybridseg.formats.dicom.catalogue import SeriesInfo
from napari_hybridseg.formats.dicom.doors import dicom_name, is_dicom, read_dicom
from napari_hybridseg.formats.dicom.reading import list_series, read_series
from napari_hybridseg.formats.dicom.references import read_segmentation
from napari_hybridseg.formats.dicom.writing import Algorithm, write_dicom_seg

__all__ = [
    "Algorithm",
    "SeriesInfo",
    "dicom_name",
    "is_dicom",
    "list_series",
    "read_dicom",
    "read_segmentation",
    "read_series",
    "write_dicom_seg",
]
