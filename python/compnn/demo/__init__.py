"""The demonstration: made-up facades, a network that paints them, and its explanations."""
