from __future__ import annotations

from collections.abc import Callable

import numpy as np
from explain_support import noise, run

from napari_hybridseg.checkpoint import Checkpoint


def test_similarity_is_a_cosine_and_fusion_rows_sum_to_one(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise((8, 24, 20))
    (cosine,) = run(volume, small("utnetv2"), "token-similarity").products
    np.testing.assert_allclose(np.diag(cosine.values), 1, atol=1e-5)
    np.testing.assert_allclose(cosine.values, cosine.values.T, atol=1e-6)
    assert np.abs(cosine.values).max() <= 1 + 1e-5
    tokens, scales = run(volume, small("utnetv2"), "fusion-attention", head=1).products
    assert tokens.values.shape == (12, 12)
    np.testing.assert_allclose(tokens.values.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scales.values.sum(axis=1), 1, atol=1e-5)
    expected = tokens.values[:4, 4:8].sum(axis=1).mean()
    np.testing.assert_allclose(scales.values[0, 1], expected, rtol=1e-5)
