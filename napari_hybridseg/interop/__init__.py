"""Other people's checkpoints."""

from napari_hybridseg.interop.state_dicts import convert_state_dict

__all__ = ["convert_state_dict"]
