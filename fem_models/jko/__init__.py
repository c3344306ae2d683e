"""Paths of least action: JKO steps, Wasserstein distances, geodesics."""
