"""Use of this package in other frameworks."""
