"""The language model as a task: streams of text in, a measured model out."""
