"""One process that is a whole world: clocks, a scheduler, a network, disks, hosts and their programs. No real I/O."""
