"""The work folder: atomic files, fingerprints, completion markers, rejects, collection records."""
