"""What every network of this package looks like from outside."""

from __future__ import annotations

from torch import Tensor, nn


class SegmentationNetwork(nn.Module):
    """A network that turns an image window into class logits.

    ``forward`` gives what a prediction is made from. Training may use all heads
    (deep supervision, auxiliary outputs): ``forward_heads`` gives them in the order of the
    authors' code, and ``head_weights`` says what each counts in the loss.
    """

    head_weights: tuple[float, ...] = (1.0,)
    prediction_head: int = 0

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of every head.

        Parameters
        ----------
        image : Tensor
            Shape (N, C, Z, Y, X), or (N, C, Y, X) for a 2D network.

        Returns
        -------
        tuple of Tensor
            Each (N, num_classes, ...); a head may have a coarser grid than the image.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits that a prediction is made from, on the grid of ``image``."""
        return self.forward_heads(image)[self.prediction_head]


def network_heads(network: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """Give all heads of any network; one that has a single output gives just that one."""
    if isinstance(network, SegmentationNetwork):
        return network.forward_heads(image)
    return (network(image),)
