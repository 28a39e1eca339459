"""A tagger and dependency parser of English, trained here, and the constituents that its trees have."""
