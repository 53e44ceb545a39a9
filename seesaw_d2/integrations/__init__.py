"""This package in other frameworks."""
