"""The part of the module that knows the engine's package: import it only once that is there."""
