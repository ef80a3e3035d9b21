"""Finding the nearest training hyperpatches: how to search, and what was found."""
