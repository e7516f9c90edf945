"""Teaching a network from labelled volumes."""

from napari_hybridseg.training.options import TrainOptions

__all__ = ["TrainOptions"]
