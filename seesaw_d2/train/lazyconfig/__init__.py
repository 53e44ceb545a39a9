"""Train and evaluate LazyConfigs."""
