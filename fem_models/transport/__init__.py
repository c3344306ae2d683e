"""Wasserstein distances between densities, and what is known of them in closed form."""
