"""Context-free languages over tokens: grammars, the inside algorithm, JSON Schema."""
