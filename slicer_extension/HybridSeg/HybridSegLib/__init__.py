"""HybridSeg inside 3D Slicer.

What lies here needs nothing but Slicer. ``bench/`` needs the engine's package
(``napari-hybridseg``), which is installed when the user asks for it; only ``controller.py``
imports it, once it is there.
"""
