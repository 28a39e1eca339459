"""Published language models as denoisers: masked ones of Hugging Face, and causal ones trained further as LLaDA and Dream."""
