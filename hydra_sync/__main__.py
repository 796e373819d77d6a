"""``python -m hydra_sync`` is the command line."""

from hydra_sync_command import main

if __name__ == "__main__":
    main()
