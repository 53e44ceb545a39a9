"""Find the problems of a training before the training starts. ``tools/doctor.py`` calls this package."""

from seesaw_d2.train.preflight.doctor.examine import examine

__all__ = ["examine"]
