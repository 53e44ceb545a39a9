"""Training and evaluation of LazyConfigs."""
