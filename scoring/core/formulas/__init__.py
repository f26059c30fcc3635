"""Formulas of the score, side by side: each a small file of weights as data and one function of a tally."""
