"""Draws the facades of the demo."""
