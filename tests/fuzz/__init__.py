"""Altered files of every kind that hedge reads, and what it may not make of them.

``python -m tests.fuzz --inputs 10000`` runs them; ``test_fuzz.py`` is the part of the suite.
"""
