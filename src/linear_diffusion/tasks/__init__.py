"""Tasks: what a fitted model can do beside sampling, as functions of its prior, encoder and decoder."""

from .classify import prompt_probabilities
from .edit import check_strength, edit
from .interpolate import check_count, interpolate
from .likelihood import bits_per_dim, log_density
from .restore import Known, denoise, require_noise, restore

__all__ = [
    "Known",
    "bits_per_dim",
    "check_count",
    "check_strength",
    "denoise",
    "edit",
    "interpolate",
    "log_density",
    "prompt_probabilities",
    "require_noise",
    "restore",
]
