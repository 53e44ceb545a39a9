"""What is wrong with a training before days are spent on it: ``tools/doctor.py``."""

from seesaw_d2.train.preflight.doctor.examine import examine

__all__ = ["examine"]
