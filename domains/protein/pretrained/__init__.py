"""Published protein language models as denoisers: ESM-2, ESM-1b, ESM-1v, and EsmForMaskedLM of Hugging Face, such as DPLM."""
