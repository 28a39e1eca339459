"""Published systems on equal terms: one network size, one time of training, real text."""
