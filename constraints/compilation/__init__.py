"""From an expression and a layout to what samplers use: sets, one structure, feasibility, plans of gap lengths."""
