"""``python -m napari_hybridseg`` is ``hybridseg``."""

from napari_hybridseg.cli import main

if __name__ == "__main__":
    main()
