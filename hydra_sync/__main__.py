"""``python -m hydra_sync`` is the command line."""

from hydra_sync.cli import main

if __name__ == "__main__":
    main()
