"""Label maps as Segmentation nodes: named, coloured, coded, on the volume's grid."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from HybridSegLib.bench.label_arrays import exported_labels
from HybridSegLib.bench.layers import make_layer
from HybridSegLib.bench.node_geometry import ijk_to_ras
from HybridSegLib.bench.terminology import entry_for, tag_of
from napari_hybridseg.labels import LabelScheme, Organ
from napari_hybridseg.volume import LabelMap

LABEL_TAG = "HybridSeg.Label"
CHECKPOINT = "HybridSeg.Checkpoint"
CHECKSUM = "HybridSeg.CRC32"
SCHEME = "HybridSeg.Scheme"
VOLUME_ROLE = "HybridSegVolume"
CHECKPOINT_PATH = "HybridSeg.CheckpointPath"
NETWORK_ROLE = "HybridSegNetwork"
UNFINISHED = "HybridSeg.Unfinished"


def show_label_map(
    scene: Any,
    label_map: LabelMap,
    volume: Any,
    checkpoint: str,
    *,
    path: str = "",
    is_whole: bool = True,
) -> Any:
    """Put a label map into the scene, and give its segmentation node.

    An earlier result of the same volume and checkpoint (its name, and the ``path`` of its file)
    is written anew, unless somebody edited it or has it in the Segment Editor, whose undo states
    belong to its segments. A whole result does not make room for an unfinished one, whose name
    says what it is. The segmentation is moved with the volume: it has the same parent transform.
    """
    made_with = (checkpoint, path)
    node = _untouched_result(scene, volume, made_with, is_whole=is_whole)
    title = f"{volume.GetName()} · {checkpoint}" + ("" if is_whole else " (unfinished)")
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(title))
    elif is_whole and node.GetAttribute(UNFINISHED):
        node.SetName(scene.GenerateUniqueName(title))
    node.SetAttribute(UNFINISHED, None if is_whole else "true")
    node.SetNodeReferenceID(VOLUME_ROLE, volume.GetID())
    node.SetAttribute(CHECKPOINT, checkpoint)
    node.SetAttribute(CHECKPOINT_PATH, path or None)
    fill_segmentation(node, label_map, volume)
    _put_beside(scene, node, volume)
    return node


def fill_segmentation(node: Any, label_map: LabelMap, volume: Any) -> None:
    """Replace the segments of a segmentation node.

    Every organ of the scheme gets its segment, an empty one if it was not found, so that it can
    be painted. Labels that the scheme does not name get one too.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        In a scene, or what becomes a frame of a sequence.
    label_map : LabelMap
        On the grid of ``volume``.
    volume : vtkMRMLVolumeNode
        It may lie outside any scene, as the frame of a sequence does.
    """
    labels = label_map.to_source(label_map.array)
    modifying = node.StartModify()
    node.CreateDefaultDisplayNodes()
    _remove_segments(node.GetSegmentation())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    _add_segments(node, labels, volume, label_map.scheme)
    _order_segments(node, label_map.scheme)
    node.SetAttribute(SCHEME, label_map.scheme.to_json())
    node.EndModify(modifying)
    if node.GetScene() is not None:
        node.SetAttribute(CHECKSUM, checksum(node))


def checksum(node: Any) -> str:
    """Give a number that changes when somebody edits a segmentation."""
    labels, ids = exported_labels(node)
    return str(zlib.crc32(np.ascontiguousarray(labels).data, zlib.crc32("|".join(ids).encode())))


def is_untouched(node: Any) -> bool:
    """Whether a segmentation is as the engine made it."""
    return bool(node.GetAttribute(CHECKSUM)) and node.GetAttribute(CHECKSUM) == checksum(node)


def is_free(node: Any) -> bool:
    """Whether a segmentation of ours may be replaced: nobody edited it, or is about to."""
    editors = slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode", node.GetScene())
    return all(one.GetSegmentationNode() is not node for one in editors) and is_untouched(node)


def scheme_of(node: Any) -> LabelScheme | None:
    """Give the organs that a segmentation of ours was made with."""
    text = node.GetAttribute(SCHEME)
    return LabelScheme.model_validate(_scheme_fields(text)) if text else None


def _scheme_fields(text: str) -> dict[str, Any]:
    content = json.loads(text)
    return {"name": content["name"], "organs": tuple(content["labels"])}


def _untouched_result(
    scene: Any, volume: Any, made_with: tuple[str, str], *, is_whole: bool
) -> Any:
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene):
        names = (node.GetAttribute(CHECKPOINT), node.GetAttribute(CHECKPOINT_PATH) or "")
        is_ours = names == made_with
        if not is_whole and not node.GetAttribute(UNFINISHED):
            continue
        if is_ours and node.GetNodeReference(VOLUME_ROLE) is volume and is_free(node):
            return node
    return None


def _remove_segments(segmentation: Any) -> None:
    """Remove all segments; each first lets go of the layer, or Slicer clears its voxels there."""
    for index in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(index).RemoveAllRepresentations()
    segmentation.RemoveAllSegments()


def _add_segments(node: Any, labels: NDArray[Any], volume: Any, scheme: LabelScheme) -> None:
    """Add a segment for every label that occurs, and an empty one for every other organ."""
    segmentation = node.GetSegmentation()
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    layer, present = make_layer(labels, slicer.util.vtkMatrixFromArray(ijk_to_ras(volume)))
    for label in present:
        organ = scheme.organ(label)
        segment = slicer.vtkSegment()
        segment.SetLabelValue(label)
        segment.AddRepresentation(kind, layer)
        _describe(segment, organ)
        segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID(organ.name))
    for organ in scheme.organs:
        if organ.id not in present:
            segment_id = segmentation.AddEmptySegment(
                segmentation.GenerateUniqueSegmentID(organ.name), organ.name, colour_of(organ)
            )
            _describe(segmentation.GetSegment(segment_id), organ)


def _describe(segment: Any, organ: Organ) -> None:
    segment.SetName(organ.name)
    segment.SetColor(*colour_of(organ))
    segment.SetTag(segment.GetTerminologyEntryTagName(), entry_for(organ))
    segment.SetTag(LABEL_TAG, str(organ.id))


def _order_segments(node: Any, scheme: LabelScheme) -> None:
    segmentation = node.GetSegmentation()
    place = {str(label): index for index, label in enumerate(scheme.ids)}
    ids = list(segmentation.GetSegmentIDs())
    labels = {key: tag_of(segmentation.GetSegment(key), LABEL_TAG) for key in ids}
    ordered = sorted(ids, key=lambda key: place.get(labels[key], len(place)))
    for index, key in enumerate(ordered):
        segmentation.SetSegmentIndex(key, index)


def colour_of(organ: Organ) -> tuple[float, float, float]:
    """Give an organ's colour as three numbers from 0 to 1."""
    red, green, blue = organ.rgb
    return red / 255, green / 255, blue / 255


def _put_beside(scene: Any, node: Any, volume: Any) -> None:
    """File the result where the volume is filed: under the same study."""
    hierarchy = (
        scene.GetSubjectHierarchyNode() if hasattr(scene, "GetSubjectHierarchyNode") else None
    )
    if hierarchy is None:
        return
    theirs, ours = hierarchy.GetItemByDataNode(volume), hierarchy.GetItemByDataNode(node)
    if theirs and ours:
        hierarchy.SetItemParent(ours, hierarchy.GetItemParent(theirs))
