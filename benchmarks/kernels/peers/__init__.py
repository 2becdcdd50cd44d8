"""Who is timed: one short file a library, each with ``prepare(task) -> Prepared``."""
