"""The running system, or a recorded run, as a page and in a terminal."""
