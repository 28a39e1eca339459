"""What is wished: guides of the draws, gradients of vectors."""
