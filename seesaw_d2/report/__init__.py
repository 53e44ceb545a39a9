"""What people look at: tables and pictures."""

from .classification import shots_table, write_classification_report
from .datasets import category_rows, draw_sampling, sampling_report, write_categories
from .predictions import draw_predictions
from .tables import METRICS, results_table

__all__ = [
    "METRICS",
    "category_rows",
    "draw_predictions",
    "draw_sampling",
    "results_table",
    "sampling_report",
    "shots_table",
    "write_categories",
    "write_classification_report",
]
