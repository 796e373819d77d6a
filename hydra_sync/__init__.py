"""Signed, persisted event logs that crashed nodes resync from their peers, by sequence range."""
