"""The pair interactions that have a name."""

INTERACTIONS = ("hard-sphere", "yukawa", "power-law")
