"""A few strokes instead of much painting: repair a region, teach the network, choose the next case.

Nothing is imported here, so that a viewer may read the options without loading torch.
"""

from __future__ import annotations
