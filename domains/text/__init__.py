"""Text: sentences with holes, fields that they tell, and conditions on words."""
