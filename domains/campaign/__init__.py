"""Campaigns: a goal, a budget of oracle calls, and a population that proposals grow from; knows no domain."""
