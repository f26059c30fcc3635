"""From the numbers of each frame to in-cab events: a file a rule, all of one shape (``shape``), listed in ``table``."""
