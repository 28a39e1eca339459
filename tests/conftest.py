"""One thread per test process: the tests run side by side, and small tensors do not gain from more."""

import torch

torch.set_num_threads(1)
