"""Published planners, as their papers describe them, in this project's setting (docs/rivals.md)."""
