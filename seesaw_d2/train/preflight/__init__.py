"""Checks of a job before anything is computed or written."""
