"""The search page and its JSON API, as a server."""
