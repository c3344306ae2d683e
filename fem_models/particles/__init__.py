"""The microscopic side: interaction potentials and what they leave in the macroscopic equation."""
