"""What a node says of itself: lines with its name, in files and on the command line."""
