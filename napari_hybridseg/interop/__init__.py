"""Other people's checkpoints."""

from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.interop.imported import Imported
from napari_hybridseg.interop.importing import import_checkpoint
from napari_hybridseg.interop.state_dicts import convert_state_dict

__all__ = ["ForeignFileError", "Imported", "convert_state_dict", "import_checkpoint"]
