"""What happens to a world, as data: setups drawn from a seed, faults and their moments, and who carries them out."""
