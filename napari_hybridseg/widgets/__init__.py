"""The napari face: shows volumes and results, collects choices; the engine does the work."""
