"""Names and colours of labels inside a NIfTI file: the Caret XML label table.

Connectome Workbench and TotalSegmentator write it as a header extension.
"""

from __future__ import annotations

from xml.etree import ElementTree

from napari_hybridseg.formats.colours import hex_colour
from napari_hybridseg.labels import LabelScheme, Organ

_LARGEST_ID = 65535


def read_label_table(extensions: list[bytes]) -> tuple[LabelScheme | None, tuple[str, ...]]:
    """Find a label table among a NIfTI header's extensions.

    Returns
    -------
    scheme : LabelScheme or None
        None where there is no table.
    notes : tuple of str
        That a table was there but could not be read.
    """
    for content in extensions:
        # A document type could define entities that expand without end.
        if b"<LabelTable" not in content or b"<!DOCTYPE" in content:
            continue
        try:
            root = ElementTree.fromstring(content.strip(b"\0 \r\n\t").decode("utf-8"))
            organs = {organ.id: organ for organ in map(_organ, root.iter("Label")) if organ}
        except (ElementTree.ParseError, ValueError):
            return None, ("The file's table of label names is damaged and was left out.",)
        return LabelScheme(organs=tuple(organs.values())), ()
    return None, ()


def write_label_table(scheme: LabelScheme) -> bytes:
    """Write a scheme as a Caret XML label table."""
    root = ElementTree.Element("CaretExtension")
    volume = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(volume, "LabelTable")
    for organ in scheme.organs:
        red, green, blue = (f"{channel / 255:.6f}" for channel in organ.rgb)
        colour = {"Red": red, "Green": green, "Blue": blue, "Alpha": "1"}
        label = ElementTree.SubElement(table, "Label", {"Key": str(organ.id), **colour})
        label.text = "".join(c for c in organ.name if c.isprintable())
    ElementTree.SubElement(volume, "VolumeType").text = "Label"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _organ(label: ElementTree.Element) -> Organ | None:
    number = int(label.get("Key", "0"))
    if not 1 <= number <= _LARGEST_ID:
        return None
    channels = (float(label.get(name, "1")) for name in ("Red", "Green", "Blue"))
    return Organ(
        id=number,
        name=(label.text or "").strip() or f"label {number}",
        colour=hex_colour(channels),
    )
