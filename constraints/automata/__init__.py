"""Regular languages over tokens: automata and their algebra, builders, regular expressions, the tensor programme (`Chain`)."""
