"""`recurra compare`: ways of training on the same rows with several seeds, each run in its own process."""
