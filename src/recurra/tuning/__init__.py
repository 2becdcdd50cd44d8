"""`recurra tune`: a search for better settings within a budget of time, and a fair test of what it finds."""
