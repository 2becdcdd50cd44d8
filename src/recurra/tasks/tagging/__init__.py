"""Tagging: a tag for each word of a sentence, from words and the characters they are written with."""
