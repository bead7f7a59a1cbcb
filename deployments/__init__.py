"""How it is run: servers, images and deployments. Knows flows and tasks; nothing knows it."""
