"""`recurra compare`: several ways of training on the same rows, many seeds, each run a process of its own."""
