"""The agent: carries out signed orders on one KVM host and reports what it finds. Never imports Django or the panel."""

__version__ = "0.1.0"
