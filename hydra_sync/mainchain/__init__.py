"""Layer 1, as a head sees it: a seam, and a small chain in a file for demonstrations and tests."""

from hydra_sync.mainchain.dev_chain import DevChain, Line
from hydra_sync.mainchain.file_chain import FileChain
from hydra_sync.mainchain.following import Mainchain, PolledChain, drive

__all__ = ["DevChain", "FileChain", "Line", "Mainchain", "PolledChain", "drive"]
