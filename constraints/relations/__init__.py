"""Relations between positions: ties folded into one variable, factor graphs by elimination."""
