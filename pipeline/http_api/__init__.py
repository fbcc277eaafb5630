"""The HTTP API: what `pipeline serve` answers.

`operations/` has a table of every operation: its path, scope, parameters, answer and problems. The application, the
OpenAPI document and the reference page are made from that table.
"""
