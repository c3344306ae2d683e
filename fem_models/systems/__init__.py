"""The systems of the papers: builders that return a gradient flow."""
