"""What can be asked: the algebra of constraints, its text and JSON forms, and what each means in plain Python."""
