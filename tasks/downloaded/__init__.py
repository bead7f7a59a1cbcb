"""Pictures at addresses: asked once, kept in the work folder, and read from there."""
