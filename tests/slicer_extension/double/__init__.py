"""A test double of 3D Slicer's application, over the real MRML of the slicer-core wheel.

Call :func:`install` once, before anything imports ``qt`` or the module under test. It is strict:
a property, signal or class that PythonQt would not know raises, where Slicer may stay silent.
"""

from double.application import install

__all__ = ["install"]
