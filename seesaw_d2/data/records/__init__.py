"""Annotation files, data set registration and the records made from them."""
