"""The linearised JKO problem, (2.12)–(2.14) of Bruna, Burger and Carrillo."""
