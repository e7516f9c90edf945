"""The transformer branch of TransFuse: a plain vision transformer for any image size.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (arXiv 2010.11929) and
Touvron et al., "DeiT", ICML 2021 (arXiv 2012.12877). Parameter names are timm's, which the
public DeiT and ViT weight files have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 16
_NORM_EPS = 1e-6
_INIT_STD = 0.02


class Attention(nn.Module):
    """Multi-head self-attention.

    The submodule ``attention`` gives the attention of every token to every token,
    (N, heads, tokens, tokens), and can be observed with a forward hook.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attention = nn.Softmax(dim=-1)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, tokens, dim) to the same shape."""
        batch, length, dim = tokens.shape
        split = self.qkv(tokens).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        mixed = self.attention(logits) @ value
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, on each token by itself."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, tokens, dim) to the same shape."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class TransformerBlock(nn.Module):
    """Attention and an MLP, each after a layer norm and added to its input."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, tokens, dim) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class PatchEmbedding(nn.Module):
    """One token for each patch of 16x16 pixels."""

    def __init__(self, in_channels: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, PATCH, PATCH)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, Y, X) to (N, dim, Y / 16, X / 16)."""
        out: Tensor = self.proj(image)
        return out


class VisionTransformer(nn.Module):
    """A transformer over the patches of an image, without a class token in the sequence.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    dim, depth, num_heads : int
        Width of the tokens, number of blocks, heads of each.
    grid : tuple of int
        Patches (Y, X) that the position embedding is stored for; that of an image of another
        size is interpolated.
    mlp_ratio : int
        How much wider the MLP is than the tokens.

    Notes
    -----
    ``cls_token`` takes no part. The authors' files hold one, so it is a parameter.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        depth: int,
        num_heads: int,
        grid: tuple[int, int],
        mlp_ratio: int = 4,
    ):
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1], dim))
        self.patch_embed = PatchEmbedding(in_channels, dim)
        self.blocks = nn.Sequential(
            *(TransformerBlock(dim, num_heads, mlp_ratio) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, Y, X) to the tokens (N, (Y / 16) * (X / 16), dim), X fastest."""
        patches = self.patch_embed(image)
        positions = resize_positions(self.pos_embed, self.grid, tuple(patches.shape[2:]))
        tokens = patches.flatten(2).transpose(1, 2) + positions
        out: Tensor = self.norm(self.blocks(tokens))
        return out

    def _initialise(self) -> None:
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=_INIT_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_INIT_STD)
                nn.init.zeros_(module.bias)


def resize_positions(positions: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Interpolate a position embedding to another grid, bilinearly, corners on corners.

    Parameters
    ----------
    positions : Tensor
        Shape (1, old[0] * old[1], dim), X fastest.
    old, new : tuple of int
        Patches (Y, X).

    Returns
    -------
    Tensor
        Shape (1, new[0] * new[1], dim).
    """
    if tuple(old) == tuple(new):
        return positions
    plane = positions.transpose(1, 2).unflatten(2, old)
    resized = functional.interpolate(plane, size=new, mode="bilinear", align_corners=True)
    return resized.flatten(2).transpose(1, 2)
