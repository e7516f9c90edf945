"""A CPU engine of our own: Winograd's convolutions, channels last, norms and activations fused.

Imports from here are lazy: it needs torch and compiles with numba.
"""
