"""Training pairs: what a network was shown, and what it should have painted."""
