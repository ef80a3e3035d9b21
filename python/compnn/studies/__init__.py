"""What explanations are used for: evaluation, matching, property control, usage."""
