"""Settings: one TOML file, then credentials, the environment, flags; the later one wins.

Every setting has one name: `s3_endpoint` in the file, `HELIOSTAT_S3_ENDPOINT` in the environment,
`--s3-endpoint` on the command line. docs/configuration.md lists them all.
"""

from farm.config.fields import SECRET_SETTINGS, ConfigError, FarmConfig
from farm.config.layers import load
from farm.config.start import is_loopback, start_problems

__all__ = ["SECRET_SETTINGS", "ConfigError", "FarmConfig", "is_loopback", "load", "start_problems"]
