"""The Chinese-CLIP family, in the layout of ModelScope: its files, towers and encoder."""
