"""Say by the exit code whether PyPI has a slicer-core wheel for this Python."""

from __future__ import annotations

import platform
import sys

VERSIONS = ((3, 10), (3, 11), (3, 12), (3, 13))


def has_wheel() -> bool:
    """Whether slicer-core 5.12 has a wheel for this Python and machine."""
    is_linux = sys.platform == "linux" and platform.machine() == "x86_64"
    return is_linux and sys.version_info[:2] in VERSIONS


if __name__ == "__main__":
    sys.exit(0 if has_wheel() else 1)
