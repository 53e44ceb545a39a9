"""Find the problems of a training before it starts. ``tools/doctor.py`` runs this package."""

from seesaw_d2.train.preflight.doctor.examine import examine

__all__ = ["examine"]
