"""What a network painted, explained with pieces of its training set."""
