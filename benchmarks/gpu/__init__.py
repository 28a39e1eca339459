"""Training of the bundled models, GPU tests and sampling times on any CUDA machine, in resumable slices.

Imports torch, numpy, safetensors and seqdiff alone: no domain, no chemistry library. See README.md.
"""
