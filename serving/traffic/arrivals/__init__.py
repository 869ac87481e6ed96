"""When queries arrive: a file for each process, and the streams that they are drawn from."""
