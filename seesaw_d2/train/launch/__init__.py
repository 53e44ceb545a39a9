"""Processes of a job: layout, launch, supervision and signals."""
