"""What gives activations: networks, their taps, and the geometry of these."""
