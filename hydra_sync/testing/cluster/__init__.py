"""Members of a network of ours in a world, their clients and applications, and what must hold of them. No real I/O."""
