"""The version: written here, and read from here by the build and by ``metis_flow.__version__``."""

__version__ = "0.1.0.dev0"
