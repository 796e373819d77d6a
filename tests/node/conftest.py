"""Fixtures that make networks."""

from tests.node.network import make_network, make_network_both

__all__ = ["make_network", "make_network_both"]
