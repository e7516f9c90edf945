"""The parts of the sample torso: space, shapes, tissues, anatomy and scanners."""
