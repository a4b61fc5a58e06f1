"""Savepoint images read without restoring them: processes, files, memory, Python's stacks and variables.

All of it is untrusted: a flow may have arranged its memory so as to mislead, crash or occupy whoever reads it. So
nothing is ever evaluated or unpickled, each structure is followed within bounds, and what doesn't fit is left out.
"""
