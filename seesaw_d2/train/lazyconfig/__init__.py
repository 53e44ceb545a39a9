"""Train and evaluate the models of LazyConfigs, Detectron2's configs in Python."""
