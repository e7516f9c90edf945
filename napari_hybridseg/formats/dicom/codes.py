"""SNOMED-CT codes of segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

TISSUE = "85756007"
ANATOMICAL_STRUCTURE = "123037004"
_SNOMED_CT = ("SCT", "2.16.840.1.113883.6.96")
_SNOMED_RT = ("SRT", "SNM3", "99SDM")


def snomed_of(item: Dataset | None) -> str:
    """Give the SNOMED-CT code of a code sequence's item.

    SNOMED-RT codes, as in files from before 2017, are translated. The code for any tissue at all
    says nothing and is left out.

    Parameters
    ----------
    item : Dataset or None
        An item of, e.g., SegmentedPropertyTypeCodeSequence.
    """
    # The only table from SNOMED-RT to SNOMED-CT in pydicom; its public side only compares codes.
    from pydicom.sr._snomed_dict import mapping

    if item is None:
        return ""
    code, designator = str(item.get("CodeValue") or ""), item.get("CodingSchemeDesignator")
    if designator in _SNOMED_RT:
        code = str(mapping["SRT"].get(code, ""))
    elif designator not in _SNOMED_CT:
        return ""
    return "" if code == TISSUE else code
