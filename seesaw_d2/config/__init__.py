"""Define the config keys and read configs from YAML files and the command line."""

from seesaw_d2.config.keys import add_seesaw_config

__all__ = ["add_seesaw_config"]
