"""Runs items: dispatch, claim, run a stage, record, rescue."""
