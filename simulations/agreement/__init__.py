"""Stories of agreement: what may happen to the disk, the process or the honesty of an author, each for any seed.

Nobody calls recovery here: disks are lost, powers cut, clocks set back, and nodes started again; what
follows is the product's (design: 7). Details are drawn for each seed; times and networks are small, so
that many seeds can be run.
"""

from simulations.agreement import disks, epochs, liars, starts
from simulations.agreement.telling import STORIES

__all__ = ["STORIES", "disks", "epochs", "liars", "starts"]
