"""Many seeds: on all cores or machines, resumed, judged, and what failed made smaller and written down. Does I/O."""
