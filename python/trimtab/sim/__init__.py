"""Simulations of a fleet in virtual time, and what they came to."""
