"""The host's flags, at their defaults."""

from types import SimpleNamespace

args = SimpleNamespace(cpu=True, force_fp16=False, force_fp32=False)
