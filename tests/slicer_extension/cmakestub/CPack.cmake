# Packaging is done by Slicer itself.
