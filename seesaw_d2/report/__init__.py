"""Write HTML reports, figures and text tables about datasets and results."""

from seesaw_d2.drawing.sampling_charts import draw_sampling
from seesaw_d2.report.classification_report import shots_table, write_classification_report
from seesaw_d2.report.dataset_report import category_rows, sampling_report, write_categories
from seesaw_d2.report.drawn_predictions import draw_predictions
from seesaw_d2.report.text_table import METRICS, results_table

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
