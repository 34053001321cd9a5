"""Tests of the agent that need no lab."""
