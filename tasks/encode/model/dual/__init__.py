"""Dual encoders of the library transformers: CLIP, AltCLIP, SigLIP, SigLIP 2."""
