"""`python -m deployments.studio`: the server with everything from its MUGE_ variables."""

from __future__ import annotations

from deployments.studio.serve import main

if __name__ == "__main__":
    main()
