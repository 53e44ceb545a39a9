"""``tools/doctor.py``: find the problems of a training before it starts."""

from seesaw_d2.train.preflight.doctor.examine import examine

__all__ = ["examine"]
