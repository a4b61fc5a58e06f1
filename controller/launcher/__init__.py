"""Placing executions' containers."""
