"""Front ends: thin, no science here."""
