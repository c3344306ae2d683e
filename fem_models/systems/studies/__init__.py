"""What the papers estimate for their systems."""
